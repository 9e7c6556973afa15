"""Random changes of a training image; every draw comes from the generator that is passed in.

Shapes: h and w the network's input size, H and W the image's.
"""

import math
from dataclasses import dataclass

import torch
import torchvision.transforms.v2.functional as TF
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode

from manifests.lip import FLIP_PAIRS

IGNORED_CLASS = 255
PADDING_GREY = (124, 116, 104)


@dataclass(frozen=True)
class HumanAugmentation:
    """How human training images are changed.

    Attributes:
        height, width: the network's input size.
        min_scale, max_scale: bounds of the random scale around the size that fills the input.
        aspect_kept_prob: share of images whose proportions stay, as a person's in a video frame; the others are
            stretched to the input's proportions as when predicting.
        flip_prob: share of mirrored images.
        max_rotation_deg: images are turned by up to this angle either way, as when PSPNet was trained.
        colour_jitter: brightness, contrast and saturation each change by up to this factor.
        swap_left_right: LIP part ids are to be swapped when mirrored.
    """

    height: int
    width: int
    min_scale: float = 0.5
    max_scale: float = 1.5
    aspect_kept_prob: float = 0.5
    flip_prob: float = 0.5
    max_rotation_deg: float = 10.0
    colour_jitter: float = 0.2
    swap_left_right: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_scale <= self.max_scale:
            raise ValueError(f"scales: expected 0 < min <= max, got {self.min_scale} and {self.max_scale}")
        if not 0 <= self.colour_jitter < 1:
            raise ValueError(f"colour_jitter: expected 0 <= x < 1, got {self.colour_jitter}")
        if not 0 <= self.max_rotation_deg <= 180:
            raise ValueError(f"max_rotation_deg: expected 0 to 180, got {self.max_rotation_deg}")


@dataclass(frozen=True)
class SceneAugmentation:
    """How scene training images are changed.

    Attributes:
        height, width: the network's input size.
        min_area: smallest share of the image that a crop keeps.
        max_stretch: largest change of proportions.
        flip_prob, colour_jitter: as in `HumanAugmentation`.
    """

    height: int
    width: int
    min_area: float = 0.35
    max_stretch: float = 4 / 3
    flip_prob: float = 0.5
    colour_jitter: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.min_area <= 1 or self.max_stretch < 1 or not 0 <= self.colour_jitter < 1:
            raise ValueError("scene augmentation: expected 0 < min_area <= 1, max_stretch >= 1, 0 <= colour_jitter < 1")


def draw(low: float, high: float, generator: Generator) -> float:
    """Draw a number uniformly between two bounds."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def augment_human(
    image_3HW: Tensor, mask_HW: Tensor, settings: HumanAugmentation, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Scale, turn, crop or pad, mirror and tint an image together with its mask.

    Args:
        image_3HW: uint8 RGB.
        mask_HW: uint8 class ids; 255 is ignored by the loss.

    Returns:
        The image uint8 [3, h, w] and the mask uint8 [h, w], where padding, and what a turn laid bare, is 255.
    """
    height, width = settings.height, settings.width
    scale = draw(settings.min_scale, settings.max_scale, generator)
    size = [round(height * scale), round(width * scale)]
    if draw(0, 1, generator) < settings.aspect_kept_prob:
        # Same area as the stretched one, the image's own proportions.
        proportion = math.sqrt(image_3HW.shape[1] / image_3HW.shape[2] * width / height)
        size = [round(size[0] * proportion), round(size[1] / proportion)]
    size = [max(1, side) for side in size]
    image = TF.resize(image_3HW, size, antialias=True)
    mask = TF.resize(mask_HW[None], size, interpolation=InterpolationMode.NEAREST)[0]
    if settings.max_rotation_deg:
        bound = settings.max_rotation_deg
        image, mask = rotate_human(image, mask, draw(-bound, bound, generator))
    image, mask = _crop_or_pad(image, mask, (height, width), generator)
    if draw(0, 1, generator) < settings.flip_prob:
        image, mask = flip_human(image, mask, swap_left_right=settings.swap_left_right)
    return jitter_colour(image, settings.colour_jitter, generator), mask


def rotate_human(image_3HW: Tensor, mask_HW: Tensor, angle_deg: float) -> tuple[Tensor, Tensor]:
    """Turn image (bilinear) and mask (nearest) about their centre, anticlockwise; bare corners are grey and ignored."""
    image = TF.rotate(image_3HW, angle_deg, interpolation=InterpolationMode.BILINEAR, fill=list(PADDING_GREY))
    mask = TF.rotate(mask_HW[None], angle_deg, interpolation=InterpolationMode.NEAREST, fill=IGNORED_CLASS)[0]
    return image, mask


def _crop_or_pad(
    image_3HW: Tensor, mask_HW: Tensor, size: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor]:
    """Place the image at random: what stands out is cut, what is empty becomes grey and ignored."""
    image = torch.tensor(PADDING_GREY, dtype=torch.uint8).view(3, 1, 1).repeat(1, *size)
    mask = torch.full(size, IGNORED_CLASS, dtype=torch.uint8)
    from_slices, to_slices = [], []
    for target, present in zip(size, mask_HW.shape, strict=True):
        length = min(target, present)
        begin = int(torch.randint(abs(target - present) + 1, (), generator=generator))
        inside = slice(begin, begin + length)
        from_slices.append(inside if present > target else slice(0, length))
        to_slices.append(slice(0, length) if present > target else inside)
    image[:, to_slices[0], to_slices[1]] = image_3HW[:, from_slices[0], from_slices[1]]
    mask[to_slices[0], to_slices[1]] = mask_HW[from_slices[0], from_slices[1]]
    return image, mask


def flip_human(image_3HW: Tensor, mask_HW: Tensor, *, swap_left_right: bool) -> tuple[Tensor, Tensor]:
    """Mirror image and mask; with LIP part ids, left and right arms, legs and shoes change names."""
    mask = mask_HW.flip(-1)
    if swap_left_right:
        names = torch.arange(256, dtype=torch.uint8)
        for left, right in FLIP_PAIRS:
            names[left], names[right] = right, left
        mask = names[mask.long()]
    return image_3HW.flip(-1), mask


def augment_scene(image_3HW: Tensor, settings: SceneAugmentation, generator: Generator) -> Tensor:
    """Cut a random part of the image, resize it to the input, mirror and tint it: uint8 [3, h, w]."""
    height, width = image_3HW.shape[1:]
    side = math.sqrt(draw(settings.min_area, 1, generator))
    stretch = math.exp(draw(-0.5, 0.5, generator) * math.log(settings.max_stretch))
    crop_height = max(1, round(min(1, side * stretch) * height))
    crop_width = max(1, round(min(1, side / stretch) * width))
    top = int(torch.randint(height - crop_height + 1, (), generator=generator))
    left = int(torch.randint(width - crop_width + 1, (), generator=generator))
    image = image_3HW[:, top : top + crop_height, left : left + crop_width]
    image = TF.resize(image, [settings.height, settings.width], antialias=True)
    if draw(0, 1, generator) < settings.flip_prob:
        image = image.flip(-1)
    return jitter_colour(image, settings.colour_jitter, generator)


def jitter_colour(image_3HW: Tensor, strength: float, generator: Generator) -> Tensor:
    """Change brightness, contrast and saturation, each by a factor between 1 - strength and 1 + strength."""
    for adjust in (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation):
        image_3HW = adjust(image_3HW, draw(1 - strength, 1 + strength, generator))
    return image_3HW
