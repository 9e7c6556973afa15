"""Every frame can be sampled, one in each equal part; evaluation takes the centres."""

import numpy as np
import pytest

from pipeline.video.sampling import centre_segments, sample_segments


@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 10, 299])
def test_one_frame_in_each_part_and_every_frame_reachable(num_frames: int) -> None:
    generator = np.random.default_rng(0)
    draws = np.array([sample_segments(num_frames, 3, generator) for _ in range(60 * num_frames)])
    assert set(draws.ravel().tolist()) == set(range(num_frames))
    assert (np.diff(draws, axis=1) >= 0).all()
    if num_frames >= 3:
        edges = [k * num_frames // 3 for k in range(4)]
        for k in range(3):
            assert set(draws[:, k].tolist()) == set(range(edges[k], edges[k + 1]))


def test_centres_by_hand() -> None:
    assert centre_segments(300, 3).tolist() == [50, 150, 250]
    assert centre_segments(25, 25).tolist() == list(range(25))
    assert centre_segments(1, 3).tolist() == [0, 0, 0]
    assert centre_segments(5, 10).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_no_frames_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 frames"):
        sample_segments(0, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match="0 segments"):
        centre_segments(3, 0)
