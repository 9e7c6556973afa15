"""Accuracies, gains and intervals of runs, against counts by hand."""

import numpy as np
import pytest

from student.ablation.figures import estimate_gain, estimate_top1, gather_hits
from student.scores import Scores


def _scores(right: list[bool], first: int = 0) -> Scores:
    """A run on videos of class 0, right or wrong."""
    logits = np.array([[1.0, 0.0] if hit else [0.0, 1.0] for hit in right], np.float32).reshape(-1, 2)
    return Scores(tuple(f"v{first + n}" for n in range(len(right))), logits, np.zeros(len(right), np.int64))


def test_top1_is_the_mean_over_seeds_and_folds() -> None:
    first_seed = [_scores([True, False]), _scores([True, True, True])]
    second_seed = [_scores([True, True]), _scores([False, False, False])]
    hits = gather_hits([first_seed, second_seed])
    assert hits.right_SV.shape == (2, 5)
    estimate = estimate_top1(hits)
    assert estimate.value == pytest.approx(((3 / 4) + (3 / 6)) / 2)  # not 6 / 10, in which the larger fold weighs more
    assert 0 <= estimate.low < estimate.value < estimate.high <= 1


def test_the_same_video_in_two_folds_counts_in_both() -> None:
    assert gather_hits([[_scores([True]), _scores([False])]]).videos == ((0, "v0"), (1, "v0"))


def test_a_video_in_two_folds_is_no_second_video() -> None:
    """The same outcomes twice say no more than once: the interval stays as wide."""
    scores = _scores([True] * 70 + [False] * 30)
    once, twice = estimate_top1(gather_hits([[scores]])), estimate_top1(gather_hits([[scores, scores]]))
    assert once == twice


def test_the_interval_of_many_videos_is_the_binomials() -> None:
    """p = .7, n = 1000: 1.96 standard errors are .0284."""
    right = [True] * 700 + [False] * 300
    estimate = estimate_top1(gather_hits([[_scores(right)]]))
    assert estimate.low == pytest.approx(0.7 - 0.0284, abs=0.004)
    assert estimate.high == pytest.approx(0.7 + 0.0284, abs=0.004)


def test_a_gain_is_paired_by_video() -> None:
    """Both are right half of the time and the gain is on the same videos: it is far surer than either accuracy."""
    baseline = [True] * 500 + [False] * 500
    better = [True] * 550 + [False] * 450
    gain = estimate_gain(gather_hits([[_scores(better)]]), gather_hits([[_scores(baseline)]]))
    assert gain.value == pytest.approx(0.05)
    assert gain.low > 0.03 and gain.high < 0.07


def test_seeds_that_differ_widen_the_interval() -> None:
    agreeing = gather_hits([[_scores([True] * 500 + [False] * 500)]] * 2)
    differing = gather_hits([[_scores([True] * 700 + [False] * 300)], [_scores([True] * 300 + [False] * 700)]])
    narrow, wide = estimate_top1(agreeing), estimate_top1(differing)
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_videos_that_only_one_has_are_left_out_of_the_gain() -> None:
    hits = gather_hits([[_scores([True, True, False])]])
    baseline = gather_hits([[_scores([False, True], first=1)]])
    assert estimate_gain(hits, baseline).value == pytest.approx(((1 - 0) + (0 - 1)) / 2)


def test_a_video_that_one_seed_lacks_is_left_out_for_all() -> None:
    assert gather_hits([[_scores([True, False])], [_scores([True])]]).videos == ((0, "v0"),)


def test_nothing_is_no_figure() -> None:
    with pytest.raises(ValueError, match="at least one run"):
        gather_hits([])
    with pytest.raises(ValueError, match="at least one video"):
        estimate_top1(gather_hits([[_scores([])]]))
