"""The forecast's arithmetic: exact where nothing varies, and a range that covers the truth as often as it says."""

import numpy as np
import pytest

from pipeline.label.forecast import RANGE_LEVEL, SampleGroup, Whole, forecast


def test_a_sample_without_variation_forecasts_exactly() -> None:
    groups = [SampleGroup(frames=400, seconds=20.0, shard_bytes=4000)] * 5
    whole = Whole(36_000, 360, [100] * 20, workers=4, shards=10, other_bytes=1000)
    made = forecast(groups, whole, seed=0)
    assert made.frames == (72_000, 72_000, 72_000)
    assert made.worker_hours == pytest.approx((1.0, 1.0, 1.0))
    assert made.hours == pytest.approx((0.25, 0.25, 0.25))
    assert made.shard_bytes == pytest.approx((721_000, 721_000, 721_000))


def test_what_a_shard_costs_is_told_apart_from_what_its_frames_cost() -> None:
    """A shard costs 2 s, a frame 0.05 s; without single videos the 2 s of each small group count as its frames'."""
    groups = [SampleGroup(frames=400, seconds=22.0, shard_bytes=4000)] * 5
    singles = [SampleGroup(frames=100, seconds=7.0, shard_bytes=1000)] * 4
    whole = Whole(72_000, 0, [], workers=1, shards=10, other_bytes=0)
    made = forecast(groups, whole, seed=0, singles=singles)
    assert made.hours == pytest.approx((3620 / 3600,) * 3)
    assert forecast(groups, whole, seed=0).hours.estimate == pytest.approx(3960 / 3600)


@pytest.mark.parametrize("singles", [(100, 25.0), (100, 3.0), (400, 30.0), (500, 1.0)])
def test_a_shard_never_costs_less_than_nothing_or_more_than_the_smallest(singles: tuple[int, float]) -> None:
    groups = [SampleGroup(frames=400, seconds=20.0, shard_bytes=1)] * 5
    whole = Whole(72_000, 0, [], workers=1, shards=10, other_bytes=0)
    hours = forecast(groups, whole, seed=0, singles=[SampleGroup(*singles, 1)] * 3).hours.estimate
    assert 10 * 20.0 / 3600 <= hours <= 1.0


def test_no_more_workers_than_shards_have_work() -> None:
    whole = Whole(3600, 0, [], workers=8, shards=2, other_bytes=0)
    assert forecast([SampleGroup(10, 10.0, 1)], whole, seed=0).hours.estimate == 0.5


def test_too_few_groups_give_no_range() -> None:
    whole = Whole(100, 0, [], workers=1, shards=1, other_bytes=0)
    made = forecast([SampleGroup(10, 1.0, 1), SampleGroup(20, 2.0, 2)], whole, seed=0)
    assert made.hours.low is None and made.hours.high is None


def test_a_sample_without_frames_is_refused() -> None:
    whole = Whole(0, 5, [0] * 4, workers=1, shards=1, other_bytes=0)
    with pytest.raises(ValueError, match="no frame"):
        forecast([SampleGroup(0, 1.0, 0)] * 4, whole, seed=0)


@pytest.mark.parametrize(("num_groups", "sigma"), [(8, 0.4), (16, 0.4), (16, 1.0), (64, 1.0)])
def test_the_range_covers_the_truth_as_often_as_it_says(num_groups: int, sigma: float) -> None:
    """Videos of lognormal lengths and of speeds that vary by half, in groups of four and half as many alone."""
    generator = np.random.default_rng(7)
    mean_frames = 300 * np.exp(sigma**2 / 2)
    truth_hours = (5000 * mean_frames * 0.1 + 40 * 5) / 3600
    covered = 0
    trials = 120
    for trial in range(trials):
        groups = []
        for videos in [4] * num_groups + [1] * (num_groups // 2):
            frames = generator.lognormal(np.log(300), sigma, videos)
            seconds = 5 + float((frames * generator.uniform(0.05, 0.15, videos)).sum())
            groups.append(SampleGroup(int(frames.sum()), seconds, 1))
        sampled = generator.lognormal(np.log(300), sigma, 256).astype(int).tolist()
        whole = Whole(0, 5000, sampled, workers=1, shards=40, other_bytes=0)
        low, high = forecast(groups[:num_groups], whole, seed=trial, singles=groups[num_groups:]).hours[1:]
        assert low is not None and high is not None
        covered += low <= truth_hours <= high
    assert RANGE_LEVEL - 0.12 < covered / trials < RANGE_LEVEL + 0.15


def test_frames_are_certain_where_the_sample_is_the_whole() -> None:
    whole = Whole(1000, 5, [10, 20, 30, 400, 0], workers=1, shards=1, other_bytes=0)
    assert forecast([SampleGroup(10, 1.0, 1)] * 4, whole, seed=0).frames == (1460, 1460, 1460)


def test_bytes_come_from_the_groups_whose_bytes_could_be_seen() -> None:
    whole = Whole(1000, 0, [], workers=1, shards=1, other_bytes=77)
    unseen = [SampleGroup(500, 1.0, None)] * 4
    assert forecast(unseen, whole, seed=0).shard_bytes is None
    made = forecast([*unseen, *[SampleGroup(10, 1.0, 30)] * 3], whole, seed=0).shard_bytes
    assert made == pytest.approx((3077, 3077, 3077))
