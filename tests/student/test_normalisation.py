"""Every backbone sees its images as its ImageNet weights did."""

import pytest
import torch

from student.normalisation import CAFFE, CENTRED, IMAGENET, Normalisation, normalise


@pytest.mark.parametrize(
    ("normalisation", "expected"),
    [
        (IMAGENET, [(1 - 0.485) / 0.229, (100 / 255 - 0.456) / 0.224, (0 - 0.406) / 0.225]),
        (CENTRED, [1.0, 100 / 127.5 - 1, -1.0]),
        (CAFFE, [0 - 104, 100 - 117, 255 - 128]),
    ],
)
def test_a_pixel_by_hand(normalisation: Normalisation, expected: list[float]) -> None:
    """Red 255, green 100, blue 0; BN-Inception sees blue first, in 0-255."""
    frames = torch.tensor([255, 100, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert normalise(frames, normalisation).flatten().tolist() == pytest.approx(expected, abs=1e-4)
