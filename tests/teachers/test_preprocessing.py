"""Network input against an independent computation."""

import numpy as np
import pytest
import torch
from PIL import Image

from teachers.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, prepare_frames


def pillow_input(frame_HWC: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Resize each channel in Pillow's float mode, crop, normalise."""
    size = (preprocessing.width, preprocessing.height)
    channels = []
    for channel in range(3):
        plane = Image.fromarray(frame_HWC[..., channel].astype(np.float32), mode=None)
        resized = np.asarray(plane.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
        height, width = preprocessing.input_size
        top, left = (preprocessing.height - height) // 2, (preprocessing.width - width) // 2
        cut = resized[top : top + height, left : left + width]
        channels.append((cut / 255 - IMAGENET_MEAN[channel]) / IMAGENET_STD[channel])
    return np.stack(channels)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(height=40, width=56),
        Preprocessing(height=64, width=64, crop_height=56, crop_width=56),
        Preprocessing(height=150, width=170),
    ],
)
def test_equals_pillows_antialiased_resize(preprocessing: Preprocessing) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 96, 120, 3), dtype=np.uint8)
    prepared = prepare_frames(torch.from_numpy(frames), preprocessing)
    assert prepared.dtype == torch.float32
    assert prepared.is_contiguous(memory_format=torch.channels_last)
    for index in range(2):
        np.testing.assert_allclose(prepared[index].numpy(), pillow_input(frames[index], preprocessing), atol=1e-4)


def test_a_frame_of_the_input_size_is_only_normalised() -> None:
    frame = torch.full((1, 20, 24, 3), 255, dtype=torch.uint8)
    prepared = prepare_frames(frame, Preprocessing(height=20, width=24))
    expected = (1 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    torch.testing.assert_close(prepared[0, :, 3, 5], expected)


@pytest.mark.parametrize("frames", [torch.zeros(1, 20, 20, 3), torch.zeros(20, 20, 3, dtype=torch.uint8)])
def test_other_frames_are_refused(frames: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[B, H, W, 3\]"):
        prepare_frames(frames, Preprocessing(height=20, width=20))


def test_sizes_are_validated_and_the_line_says_them() -> None:
    with pytest.raises(ValueError, match="height"):
        Preprocessing(height=4, width=64)
    with pytest.raises(ValueError, match="crop_width"):
        Preprocessing(height=64, width=64, crop_width=65)
    one, other = Preprocessing(height=64, width=64), Preprocessing(height=64, width=64, crop_width=56)
    assert str(one) != str(other)
    assert "\n" not in str(one)
