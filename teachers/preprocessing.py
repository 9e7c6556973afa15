"""How a frame becomes a network's input; recorded beside the weights, since it is part of what the teacher says.

Shapes: B frames, H and W the frame's size, h and w the network's input.
"""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Below two cells of a stride-8 map, BatchNorm has nothing to average over in a batch of one.
MIN_SIZE = 17
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Over which sizes of the input a multi-scale teacher averages.
MULTI_SCALES = (0.75, 1.0, 1.25)

Interpolation = Literal["bilinear", "bicubic"]
Channels = Literal["RGB", "BGR"]


@dataclass(frozen=True)
class Preprocessing:
    """Resize to height x width (the aspect is not kept), cut the centre, normalise.

    Attributes:
        height, width: size in pixels to which the whole frame is resized (antialiased).
        crop_height, crop_width: the centre that is kept; None keeps everything.
        mean, std: one for each channel, in the order of `channels` and in units of `white`.
        interpolation: of the resize; bicubic is cut to the range of pixels, as Pillow does.
        channels: their order in the network's input.
        white: value of a white pixel before the mean is subtracted; 1 in PyTorch's habit, 255 in Caffe's.
        mean_image: float32 [3, height, width], [3, crop_height, crop_width] or None; subtracted instead of `mean`, in
            the same order and units. It lies with the weights and is covered by their digest.
        flip_averaging: predictions for the frame and its mirror image are averaged.
        scales: factors of the input size whose predictions are averaged.
    """

    height: int
    width: int
    crop_height: int | None = None
    crop_width: int | None = None
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    interpolation: Interpolation = "bilinear"
    channels: Channels = "RGB"
    white: float = 1.0
    mean_image: Tensor | None = field(default=None, compare=False, repr=False)
    flip_averaging: bool = False
    scales: tuple[float, ...] = (1.0,)

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
        if self.interpolation not in ("bilinear", "bicubic") or self.channels not in ("RGB", "BGR") or self.white <= 0:
            raise ValueError(
                "preprocessing: bilinear or bicubic, RGB or BGR and a positive white, "
                f"got {self.interpolation}, {self.channels} and {self.white}"
            )
        if not self.scales or min(self.scales) <= 0:
            raise ValueError(f"preprocessing scales: one or more positive factors, got {self.scales}")
        if self.mean_image is not None:
            fitting = ((3, self.height, self.width), (3, *self.input_size))
            if tuple(self.mean_image.shape) not in fitting:
                raise ValueError(
                    f"mean image: {list(self.mean_image.shape)}, expected {' or '.join(str(list(s)) for s in fitting)}"
                )

    def __str__(self) -> str:
        """Say it in one line, as the labels' fingerprint keeps it."""
        height, width = self.input_size
        mean = "a mean image" if self.mean_image is not None else self.mean
        extras = ", averaged with the mirror image" if self.flip_averaging else ""
        extras += f", averaged over scales {self.scales}" if self.scales != (1.0,) else ""
        return (
            f"{self.interpolation} antialiased to {self.height}x{self.width}, centre {height}x{width}, "
            f"{self.channels} 0-{self.white:g}, mean {mean}, std {self.std}{extras}"
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """The height and width that the network sees."""
        return self.crop_height or self.height, self.crop_width or self.width


class View(NamedTuple):
    """One look at frames: network input, and whether it is mirrored left to right."""

    x_B3hw: Tensor
    mirrored: bool


def with_mirror_image(preprocessing: Preprocessing) -> Preprocessing:
    """Let answers for a frame and its mirror image be averaged."""
    return dataclasses.replace(preprocessing, flip_averaging=True)


def over_scales(preprocessing: Preprocessing) -> Preprocessing:
    """Let answers be averaged over three sizes of the input and mirror images."""
    return dataclasses.replace(preprocessing, flip_averaging=True, scales=MULTI_SCALES)


def iterate_views(frames_BHWC: Tensor, preprocessing: Preprocessing) -> Iterator[View]:
    """Give the network inputs whose predictions are averaged: one, unless scales or mirror images are asked for.

    Raises:
        ValueError: frames of another type or shape.
    """
    for scale in preprocessing.scales:
        x_B3hw = prepare_frames(frames_BHWC, preprocessing, scale=scale)
        yield View(x_B3hw, mirrored=False)
        if preprocessing.flip_averaging:
            yield View(prepare_frames(frames_BHWC.flip(2), preprocessing, scale=scale), mirrored=True)


def prepare_frames(frames_BHWC: Tensor, preprocessing: Preprocessing, *, scale: float = 1.0) -> Tensor:
    """Make network input of frames, on the frames' device.

    Args:
        frames_BHWC: uint8 RGB, any H and W.
        preprocessing: sizes and statistics.
        scale: factor of all sizes.

    Returns:
        float32 [B, 3, h, w], channels last in memory; h and w are `preprocessing.input_size` times `scale`.

    Raises:
        ValueError: frames of another type or shape.
    """
    x_B3HW = centre_crop(resize_frames(frames_BHWC, preprocessing, scale=scale), preprocessing, scale=scale)
    return normalise(x_B3HW, preprocessing).contiguous(memory_format=torch.channels_last)


def resize_frames(frames_BHWC: Tensor, preprocessing: Preprocessing, *, scale: float = 1.0) -> Tensor:
    """Resize uint8 RGB frames [B, H, W, 3] to the size that is cropped: float32 [B, 3, height, width] in 0-255.

    Raises:
        ValueError: frames of another type or shape.
    """
    if frames_BHWC.dtype != torch.uint8 or frames_BHWC.ndim != 4 or frames_BHWC.shape[-1] != 3:
        raise ValueError(f"frames: expected uint8 [B, H, W, 3], got {frames_BHWC.dtype} {list(frames_BHWC.shape)}")
    # Moving the channel axis of [B, H, W, 3] gives channels-last memory without a copy.
    x_B3HW = frames_BHWC.permute(0, 3, 1, 2).float()
    size = (round(preprocessing.height * scale), round(preprocessing.width * scale))
    if tuple(x_B3HW.shape[-2:]) != size:
        mode = preprocessing.interpolation
        x_B3HW = F.interpolate(x_B3HW, size=size, mode=mode, align_corners=False, antialias=True)
        if mode == "bicubic":
            x_B3HW = x_B3HW.clamp(0, 255)
    return x_B3HW


def centre_crop(x_B3HW: Tensor, preprocessing: Preprocessing, *, scale: float = 1.0) -> Tensor:
    """Keep the centre that the network sees."""
    height, width = (round(size * scale) for size in preprocessing.input_size)
    top, left = (x_B3HW.shape[-2] - height) // 2, (x_B3HW.shape[-1] - width) // 2
    return x_B3HW[..., top : top + height, left : left + width]


def normalise(x_B3hw: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Bring float RGB images in 0-255 to the network's channel order and statistics."""
    if preprocessing.channels == "BGR":
        x_B3hw = x_B3hw.flip(1)
    unit = 255 / preprocessing.white
    if preprocessing.mean_image is not None:
        mean = _fit_mean_image(preprocessing, (x_B3hw.shape[-2], x_B3hw.shape[-1])).to(x_B3hw.device).mul(unit)
    else:
        mean = _per_channel(preprocessing.mean, unit, x_B3hw.device)
    return (x_B3hw - mean) / _per_channel(preprocessing.std, unit, x_B3hw.device)


@functools.cache
def _per_channel(values: tuple[float, float, float], unit: float, device: torch.device) -> Tensor:
    """Bring figures of the channels to a device as [3, 1, 1], once: the host waits for every such copy."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).mul(unit).view(3, 1, 1)


def _fit_mean_image(preprocessing: Preprocessing, size: tuple[int, int]) -> Tensor:
    """Give the mean image for frames of a size: whole, cut as they were, or brought to another scale."""
    assert preprocessing.mean_image is not None
    mean_3hw = preprocessing.mean_image
    if tuple(mean_3hw.shape[-2:]) == size:
        return mean_3hw
    if tuple(mean_3hw.shape[-2:]) != preprocessing.input_size:
        mean_3hw = centre_crop(mean_3hw, preprocessing)
    if tuple(mean_3hw.shape[-2:]) != size:
        mean_3hw = F.interpolate(mean_3hw[None], size=size, mode="bilinear", align_corners=False, antialias=True)[0]
    return mean_3hw
