"""The forecast's arithmetic: exact where nothing varies, and a range that covers the truth as often as it says."""

import numpy as np
import pytest

from pipeline.label.forecast import RANGE_LEVEL, SampleGroup, Whole, forecast


def test_a_sample_without_variation_forecasts_exactly() -> None:
    groups = [SampleGroup(videos=4, frames=400, seconds=20.0, shard_bytes=4000)] * 5
    whole = Whole(known_frames=36_000, unprobed_videos=360, workers=4, shards=10, bytes_per_empty_shard=100)
    made = forecast(groups, whole, seed=0)
    assert made.frames == (72_000, 72_000, 72_000)
    assert made.worker_hours == (1.0, 1.0, 1.0)
    assert made.hours == (0.25, 0.25, 0.25)
    assert made.shard_bytes == (721_000, 721_000, 721_000)


def test_what_a_shard_costs_is_told_apart_from_what_its_frames_cost() -> None:
    """A shard costs 2 s, a frame 0.05 s; without single videos the 2 s of each small group count as its frames'."""
    groups = [SampleGroup(videos=4, frames=400, seconds=22.0, shard_bytes=4000)] * 5
    singles = [SampleGroup(videos=1, frames=100, seconds=7.0, shard_bytes=1000)] * 4
    whole = Whole(known_frames=72_000, unprobed_videos=0, workers=1, shards=10, bytes_per_empty_shard=0)
    made = forecast(groups, whole, seed=0, singles=singles)
    assert made.hours == pytest.approx((3620 / 3600,) * 3)
    assert forecast(groups, whole, seed=0).hours.estimate == pytest.approx(3960 / 3600)


@pytest.mark.parametrize("singles", [(100, 25.0), (100, 3.0), (400, 30.0), (500, 1.0)])
def test_a_shard_never_costs_less_than_nothing_or_more_than_the_smallest(singles: tuple[int, float]) -> None:
    groups = [SampleGroup(videos=4, frames=400, seconds=20.0, shard_bytes=1)] * 5
    whole = Whole(known_frames=72_000, unprobed_videos=0, workers=1, shards=10, bytes_per_empty_shard=0)
    hours = forecast(groups, whole, seed=0, singles=[SampleGroup(1, *singles, 1)] * 3).hours.estimate
    assert 10 * 20.0 / 3600 <= hours <= 1.0


def test_no_more_workers_than_shards_have_work() -> None:
    whole = Whole(known_frames=3600, unprobed_videos=0, workers=8, shards=2, bytes_per_empty_shard=0)
    assert forecast([SampleGroup(1, 10, 10.0, 1)], whole, seed=0).hours.estimate == 0.5


def test_too_few_groups_give_no_range() -> None:
    whole = Whole(known_frames=100, unprobed_videos=0, workers=1, shards=1, bytes_per_empty_shard=0)
    made = forecast([SampleGroup(1, 10, 1.0, 1), SampleGroup(1, 20, 2.0, 2)], whole, seed=0)
    assert made.hours.low is None and made.hours.high is None


def test_a_sample_without_frames_is_refused() -> None:
    whole = Whole(known_frames=0, unprobed_videos=5, workers=1, shards=1, bytes_per_empty_shard=0)
    with pytest.raises(ValueError, match="no frame"):
        forecast([SampleGroup(3, 0, 1.0, 0)] * 4, whole, seed=0)


def test_the_range_covers_the_truth_as_often_as_it_says() -> None:
    """Videos of 100 to 500 frames, at speeds that vary by half, in 16 groups of 4 and 8 alone; the truth is known."""
    generator = np.random.default_rng(7)
    whole = Whole(known_frames=0, unprobed_videos=1000, workers=1, shards=8, bytes_per_empty_shard=0)
    truth_hours = (1000 * 300 * 0.1 + 8 * 5) / 3600
    covered = 0
    trials = 150
    for trial in range(trials):
        groups = []
        for videos in [4] * 16 + [1] * 8:
            frames = generator.integers(100, 501, videos)
            seconds = 5 + float((frames * generator.uniform(0.05, 0.15, videos)).sum())
            groups.append(SampleGroup(videos, int(frames.sum()), seconds, 1))
        low, high = forecast(groups[:16], whole, seed=trial, singles=groups[16:]).hours[1:]
        assert low is not None and high is not None
        covered += low <= truth_hours <= high
    assert RANGE_LEVEL - 0.15 < covered / trials < RANGE_LEVEL + 0.1
