"""The algorithms find motion that is known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.flow.methods import compute_flow
from pipeline.flow.settings import METHODS


def textured(height: int = 128, width: int = 160, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a gray image [height, width] with structure of several sizes."""
    noise = np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)
    image = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 5, 12))
    return cv2.normalize(np.asarray(image), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.mark.parametrize("method", METHODS)
def test_a_translation_is_recovered_within_half_a_pixel(method: str) -> None:
    image, (dx, dy) = textured(), (3.0, -2.0)
    moved = cv2.warpAffine(image, np.array([[1, 0, dx], [0, 1, dy]]), image.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    flow = compute_flow(method, image, moved)
    inside = flow[16:-16, 16:-16]
    assert inside.dtype == np.float32
    assert np.linalg.norm(inside - (dx, dy), axis=-1).max() < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_flow_does_not_depend_on_what_was_computed_before(method: str) -> None:
    first, other = (textured(64, 80, seed) for seed in range(2))
    second = np.roll(first, 2, axis=1)
    alone = compute_flow(method, first, second)
    compute_flow(method, other, np.roll(other, 1, axis=0))
    assert np.array_equal(compute_flow(method, first, second), alone)
