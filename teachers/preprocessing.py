"""How a frame becomes a network's input; recorded beside the weights, since it is part of what the teacher says."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Below two cells of a stride-8 map, BatchNorm has nothing to average over in a batch of one.
MIN_SIZE = 17
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """Resize to height x width (the aspect is not kept), cut the centre, normalise.

    Attributes:
        height, width: size in pixels to which the whole frame is resized (bilinear, antialiased).
        crop_height, crop_width: the centre that is kept; None keeps everything.
        mean, std: of RGB in 0-1.
    """

    height: int
    width: int
    crop_height: int | None = None
    crop_width: int | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            crop = getattr(self, f"crop_{name}")
            if getattr(self, name) < MIN_SIZE:
                raise ValueError(f"preprocessing {name}: at least {MIN_SIZE} pixels, got {getattr(self, name)}")
            if crop is not None and not MIN_SIZE <= crop <= getattr(self, name):
                raise ValueError(
                    f"preprocessing crop_{name}: from {MIN_SIZE} to {getattr(self, name)} pixels, got {crop}"
                )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"preprocessing: 3 means and 3 positive deviations, got {self.mean} and {self.std}")

    def __str__(self) -> str:
        """Say it in one line, as the labels' fingerprint keeps it."""
        height, width = self.input_size
        return (
            f"bilinear antialiased to {self.height}x{self.width}, centre {height}x{width}, "
            f"RGB 0-1, mean {self.mean}, std {self.std}"
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """The height and width that the network sees."""
        return self.crop_height or self.height, self.crop_width or self.width


def prepare_frames(frames_BHWC: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Make network input of frames, on the frames' device.

    Args:
        frames_BHWC: uint8 RGB, any H and W.
        preprocessing: sizes and statistics.

    Returns:
        float32 [B, 3, *preprocessing.input_size], channels last in memory.

    Raises:
        ValueError: frames of another type or shape.
    """
    if frames_BHWC.dtype != torch.uint8 or frames_BHWC.ndim != 4 or frames_BHWC.shape[-1] != 3:
        raise ValueError(f"frames: expected uint8 [B, H, W, 3], got {frames_BHWC.dtype} {list(frames_BHWC.shape)}")
    # Moving the channel axis of [B, H, W, 3] gives channels-last memory without a copy.
    x_B3HW = frames_BHWC.permute(0, 3, 1, 2).float()
    size = (preprocessing.height, preprocessing.width)
    if tuple(x_B3HW.shape[-2:]) != size:
        x_B3HW = F.interpolate(x_B3HW, size=size, mode="bilinear", align_corners=False, antialias=True)
    height, width = preprocessing.input_size
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    x_B3HW = x_B3HW[..., top : top + height, left : left + width]
    return normalise(x_B3HW, preprocessing).contiguous(memory_format=torch.channels_last)


def normalise(x_B3HW: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Scale float RGB images in 0-255 to the network's statistics."""
    mean = torch.tensor(preprocessing.mean, device=x_B3HW.device).mul(255).view(3, 1, 1)
    std = torch.tensor(preprocessing.std, device=x_B3HW.device).mul(255).view(3, 1, 1)
    return (x_B3HW - mean) / std
