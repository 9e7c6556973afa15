"""Crops and flips; a mask goes through the same crop as its frame.

Frames stay uint8 until the device. Everything random is drawn once, as a `CropBox`, and applied to frames (bilinear)
and masks (nearest neighbour) alike; the scene label is the full frame's and needs no transform.

Shape suffixes: T frames, H height, W width, C = 3 colours (RGB) or 10 channels of flow, S the network's input size.
Source: Temporal Segment Networks; protocol values of its public code (13 fixed positions, scales 1, .875, .75, .66).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

# A crop side this close to the network's input is taken at exactly the input's size, which saves the resize.
SNAP_PIXELS = 3
# Test frames are scaled so that their shorter side is 256/224 of the input.
_TEST_SCALE_NUMERATOR, _TEST_SCALE_DENOMINATOR = 256, 224


class CropBox(NamedTuple):
    """A rectangle of the full frame in pixels, and whether it is mirrored after cutting. `top`, `left`: inclusive."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


@dataclass(frozen=True)
class MultiScaleCrop:
    """TSN's training crop: a random size of several, at one of 13 fixed positions, then a random flip.

    Attributes:
        input_size: side S of the network's square input, in pixels.
        scales: crop sides as parts of the frame's shorter side.
        max_distort: how far apart in `scales` the height's and the width's scale may lie.
        flip_probability: of a horizontal flip.
    """

    input_size: int = 224
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    flip_probability: float = 0.5

    def __post_init__(self) -> None:
        if self.input_size < 1:
            raise ValueError(f"input_size: expected at least 1, found {self.input_size}")
        if not self.scales or not all(0.0 < scale <= 1.0 for scale in self.scales):
            raise ValueError(f"scales: expected numbers above 0 and up to 1, found {self.scales}")
        if self.max_distort < 0 or not 0.0 <= self.flip_probability <= 1.0:
            raise ValueError(f"max_distort {self.max_distort}, flip_probability {self.flip_probability}: out of range")

    def draw(self, height: int, width: int, generator: np.random.Generator) -> CropBox:
        """Draw one crop of a frame of height x width pixels."""
        sizes = crop_sizes(height, width, self.input_size, self.scales, self.max_distort)
        crop_height, crop_width = sizes[generator.integers(len(sizes))]
        positions = fixed_positions(height, width, crop_height, crop_width)
        top, left = positions[generator.integers(len(positions))]
        return CropBox(top, left, crop_height, crop_width, bool(generator.random() < self.flip_probability))


def crop_sizes(
    height: int, width: int, input_size: int, scales: tuple[float, ...], max_distort: int
) -> list[tuple[int, int]]:
    """List the (height, width) pairs a multi-scale crop chooses from.

    A side is floor(scale * min(height, width)), or `input_size` where it lies less than 3 pixels from it and fits.
    """
    base = min(height, width)
    sides = [int(base * scale) for scale in scales]
    sides = [input_size if abs(side - input_size) < SNAP_PIXELS and input_size <= base else side for side in sides]
    return [
        (sides[row], sides[column])
        for row in range(len(sides))
        for column in range(len(sides))
        if abs(row - column) <= max_distort
    ]


def fixed_positions(height: int, width: int, crop_height: int, crop_width: int) -> list[tuple[int, int]]:
    """List the 13 (top, left) positions of a crop: corners, centre, edge middles, four between corners and centre."""
    row_step, column_step = (height - crop_height) // 4, (width - crop_width) // 4
    quarters = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]
    return [(row * row_step, column * column_step) for row, column in quarters]


def crop_frames(frames_THWC: Tensor, box: CropBox, input_size: int, *, is_flow: bool = False) -> Tensor:
    """Cut, resize (bilinear, antialiased) and mirror frames: uint8 [T, H, W, C] to uint8 [T, C, S, S]."""
    frames_TCHW = _cut(frames_THWC, box).permute(0, 3, 1, 2).contiguous()
    return _mirror_frames(resize_frames(frames_TCHW, input_size, input_size), box.flip, is_flow)


def crop_masks(masks_THW: Tensor, box: CropBox, input_size: int) -> Tensor:
    """Cut, resize (nearest neighbour) and mirror masks: bool [T, H, W] of the frame's size to bool [T, S, S]."""
    masks_T1HW = _cut(masks_THW, box).to(torch.uint8)[:, None]
    return _mirror(_resize_nearest(masks_T1HW, input_size, input_size)[:, 0].bool(), box.flip)


def resize_frames(frames_TCHW: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 frames [T, C, H, W] with an antialiased bilinear filter, as PIL does; no work at the right size."""
    if frames_TCHW.shape[-2:] == (height, width):
        return frames_TCHW
    return F.interpolate(frames_TCHW, size=(height, width), mode="bilinear", antialias=True)


def resize_masks(masks_THW: Tensor, height: int, width: int) -> Tensor:
    """Bring bool masks [T, h, w] to the frames' size (nearest neighbour); unchanged where the size is right."""
    if masks_THW.shape[-2:] == (height, width):
        return masks_THW
    return _resize_nearest(masks_THW.to(torch.uint8)[:, None], height, width)[:, 0].bool()


def scaled_side(input_size: int) -> int:
    """Return the shorter side of test frames: 256/224 of the input."""
    return round(input_size * _TEST_SCALE_NUMERATOR / _TEST_SCALE_DENOMINATOR)


def scaled_size(height: int, width: int, input_size: int) -> tuple[int, int]:
    """Return height and width of a test frame: the shorter side is `scaled_side`, the shape stays."""
    ratio = scaled_side(input_size) / min(height, width)
    return round(height * ratio), round(width * ratio)


def scale_for_test(frames_THWC: Tensor, input_size: int) -> Tensor:
    """Scale frames so that the shorter side is 256/224 of the input: uint8 [T, H, W, C] to uint8 [T, C, h, w]."""
    height, width = scaled_size(frames_THWC.shape[1], frames_THWC.shape[2], input_size)
    return resize_frames(frames_THWC.permute(0, 3, 1, 2).contiguous(), height, width)


def evaluation_boxes(height: int, width: int, input_size: int, num_crops: int) -> list[CropBox]:
    """List the test crops of a scaled frame: 10, 3 or 1.

    10: four corners and centre, then the same mirrored. 3: left, centre, right of the middle row. 1: centre.

    Raises:
        ValueError: another number of crops, or a frame smaller than the input.
    """
    if num_crops not in (1, 3, 10):
        raise ValueError(f"crops: expected 10, 3 or 1, found {num_crops}")
    if min(height, width) < input_size:
        raise ValueError(f"test frames of {height} x {width} are smaller than the input of {input_size}")
    row_step, column_step = (height - input_size) // 4, (width - input_size) // 4
    quarters = {1: [(2, 2)], 3: [(2, 0), (2, 2), (2, 4)], 10: [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]}[num_crops]
    flips = (False, True) if num_crops == 10 else (False,)
    return [
        CropBox(row * row_step, column * column_step, input_size, input_size, flip)
        for flip in flips
        for row, column in quarters
    ]


def cut_crop(frames_TCHW: Tensor, box: CropBox, *, is_flow: bool = False) -> Tensor:
    """Cut one test crop on any device: [T, C, h, w] to [T, C, S, S], no resize."""
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    return _mirror_frames(frames_TCHW[..., rows, columns], box.flip, is_flow)


def _cut(images_THW: Tensor, box: CropBox) -> Tensor:
    """Cut a box from [T, H, W, ...]."""
    return images_THW[:, box.top : box.top + box.height, box.left : box.left + box.width]


def _mirror_frames(frames_TCHW: Tensor, flip: bool, is_flow: bool) -> Tensor:
    """Mirror frames [..., C, H, W] left to right where `flip`; of flow, uint8 in 1..255, x also changes its sign."""
    mirrored_TCHW = _mirror(frames_TCHW, flip)
    if flip and is_flow:
        mirrored_TCHW = mirrored_TCHW.clone()
        # 2 * 128 - x, which in uint8 is -x.
        mirrored_TCHW[..., ::2, :, :] = -mirrored_TCHW[..., ::2, :, :]
    return mirrored_TCHW


def _mirror(images_HW: Tensor, flip: bool) -> Tensor:
    """Mirror [..., H, W] left to right where `flip`."""
    return images_HW.flip(-1) if flip else images_HW


def _resize_nearest(masks_T1HW: Tensor, height: int, width: int) -> Tensor:
    """Resize by nearest neighbour with pixel centres where the bilinear filter has them."""
    return F.interpolate(masks_T1HW, size=(height, width), mode="nearest-exact")
