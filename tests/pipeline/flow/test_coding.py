"""Quantising and coding flow."""

import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.flow.coding import BOUND, ZERO, decode, dequantise, encode, quantise


def smooth_flow(seed: int = 0) -> np.ndarray:
    """Make flow [256, 340, 2] that changes slowly, of some pixels."""
    rows, columns = np.mgrid[:256, :340].astype(np.float32)
    phase = np.random.default_rng(seed).uniform(0, 6, 2)
    return np.stack([6 * np.sin(rows / 60 + phase[0]), 3 * np.cos(columns / 45 + phase[1])], axis=-1).astype(np.float32)


def test_quantised_flow_is_half_a_step_off_at_most_and_clipped_at_the_bound() -> None:
    flow = np.random.default_rng(0).uniform(-30, 30, (16, 24, 2)).astype(np.float32)
    back = dequantise(quantise(flow))
    assert np.abs(back - np.clip(flow, -BOUND, BOUND)).max() <= BOUND / 127 / 2 + 1e-5
    assert quantise(flow).min() >= 1


def test_rest_is_stored_exactly() -> None:
    still = quantise(np.zeros((256, 340, 2), np.float32))
    assert (still == ZERO).all()
    assert (decode(encode(still, 90)) == ZERO).all()


def test_opposite_flows_have_opposite_values() -> None:
    flow = np.random.default_rng(1).uniform(-30, 30, (16, 24, 2)).astype(np.float32)
    assert (quantise(flow).astype(int) + quantise(-flow) == 2 * ZERO).all()


def test_a_stream_gives_back_flow_within_a_tenth_of_a_pixel() -> None:
    flow = smooth_flow()
    decoded = decode(encode(quantise(flow), 90))
    assert decoded.shape == (2, 256, 340) and decoded.dtype == np.uint8
    assert np.abs(dequantise(decoded) - flow).mean() < 0.1


def test_decoded_values_can_be_mirrored_whatever_jpeg_makes_of_them() -> None:
    extremes = np.random.default_rng(2).choice(np.array([1, 255], np.uint8), (2, 64, 64))
    assert decode(encode(extremes, 50)).min() >= 1


@pytest.mark.parametrize("stream", [b"no image", b""])
def test_bytes_that_are_no_image_are_named(stream: bytes) -> None:
    with pytest.raises(ShardError, match="no JPEG image"):
        decode(stream)
