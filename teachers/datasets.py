"""Images from disk, augmented, for `torch.utils.data.DataLoader`.

Sample i of epoch e depends on (seed, e, i) alone: neither the number of loader processes nor their order changes it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.utils.data import Dataset

from manifests.images import LabelledImage, MaskedImage
from pipeline.errors import TeacherError
from teachers.augmentation import (
    IGNORED_CLASS,
    HumanAugmentation,
    SceneAugmentation,
    augment_human,
    augment_scene,
)
from teachers.human import merge_parts

UNUSABLE = "unusable_image"  # the kind under which they are counted, in training and in scoring
MAX_NAMED = 10  # of them in the log; of a million images each would have a line


class Sample(NamedTuple):
    """One training image.

    Attributes:
        image: uint8 RGB [3, h, w].
        target: int64; a class map [h, w] or a class index [].
    """

    image: Tensor
    target: Tensor


class ImageKey(NamedTuple):
    """One visit to an image: the epoch decides how it is changed."""

    epoch: int
    item: int


class UnusableImage(NamedTuple):
    """An image that cannot be trained on, and why."""

    path: str
    message: str


class Batch(NamedTuple):
    """What the trainer gets.

    Attributes:
        images: uint8 RGB [B, 3, h, w]; B may be 0.
        targets: int64 [B, h, w] or [B].
        faults: the images that could not be used.
    """

    images: Tensor
    targets: Tensor
    faults: tuple[UnusableImage, ...]


def collate(samples: Sequence[Sample | UnusableImage]) -> Batch:
    """Stack what is good, list what is not."""
    good = [sample for sample in samples if isinstance(sample, Sample)]
    faults = tuple(sample for sample in samples if isinstance(sample, UnusableImage))
    if not good:
        return Batch(torch.empty(0, 3, 1, 1, dtype=torch.uint8), torch.empty(0, dtype=torch.int64), faults)
    images = torch.stack([sample.image for sample in good])
    return Batch(images, torch.stack([sample.target for sample in good]), faults)


def read_image(path: Path, *, at_least: tuple[int, int] | None = None) -> Tensor:
    """Read an image as uint8 RGB [3, H, W].

    Args:
        path: any format Pillow reads.
        at_least: height and width below which a JPEG must not be decoded; it may then be read at a half, a quarter or
            an eighth of its size, which is faster.

    Raises:
        TeacherError: the file is missing or not a readable image.
    """
    return _read_with_size(path, at_least)[0]


def _read_with_size(path: Path, at_least: tuple[int, int] | None) -> tuple[Tensor, tuple[int, int]]:
    """As `read_image`, with the height and width that the image has in its file."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            if at_least is not None:
                image.draft("RGB", (at_least[1], at_least[0]))
            pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TeacherError(f"{path}: not a readable image ({error}); remove it from the training data") from error
    return torch.from_numpy(pixels).permute(2, 0, 1), (height, width)


def read_mask(path: Path, *, merge: bool) -> Tensor:
    """Read a class map as uint8 [H, W]; with `merge`, 1 where any id but 0 stands and 255 (ignored) kept.

    Raises:
        TeacherError: the file is missing, unreadable, or not a map of 8-bit ids.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P", "1"):
                raise TeacherError(f"{path}: mode {image.mode}, expected a map of 8-bit class ids (L or P)")
            ids = torch.from_numpy(np.array(image).astype(np.uint8))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise TeacherError(f"{path}: not a readable class map ({error})") from error
    if not merge:
        return ids
    return torch.where(ids == IGNORED_CLASS, ids, merge_parts(ids).to(torch.uint8))


def read_masked_image(image: MaskedImage, classes: int, *, at_least: tuple[int, int] | None = None) -> Sample:
    """Read an image and its class map (merged when there are 2 classes); the map keeps the size of its file.

    Raises:
        TeacherError: either is unreadable, the proportions differ, or an id is neither a class nor 255.
    """
    image_3HW, (height, width) = _read_with_size(image.image_path, at_least)
    mask_HW = read_mask(image.mask_path, merge=classes == 2)
    mask_height, mask_width = mask_HW.shape
    if abs(height / mask_height - width / mask_width) * max(mask_height, mask_width) > 1.5:
        raise TeacherError(f"{image.mask_path}: {mask_height}x{mask_width}, its image is {height}x{width}")
    highest = int(mask_HW.masked_fill(mask_HW == IGNORED_CLASS, 0).max())
    if highest >= classes:
        raise TeacherError(
            f"{image.mask_path}: class id {highest}, expected 0 to {classes - 1}; "
            "merge parts to one class with --classes 2 or --merge-parts"
        )
    return Sample(image_3HW, mask_HW)


class HumanImages(Dataset[Sample | UnusableImage]):
    """Augmented images with class maps, by `ImageKey`; one that cannot be used comes as an `UnusableImage`."""

    def __init__(
        self, images: Sequence[MaskedImage], *, classes: int, augmentation: HumanAugmentation, seed: int
    ) -> None:
        self.images = images
        self.classes = classes
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: ImageKey) -> Sample | UnusableImage:
        settings, image = self.augmentation, self.images[key.item]
        try:
            # Twice the input covers the largest random scale.
            sample = read_masked_image(image, self.classes, at_least=(2 * settings.height, 2 * settings.width))
        except TeacherError as fault:
            return _unusable(image.image_path, fault)
        generator = sample_generator(self.seed, key.epoch, key.item)
        image_3hw, mask_hw = augment_human(sample.image, sample.target, settings, generator)
        return Sample(image_3hw, mask_hw.long())


class SceneImages(Dataset[Sample | UnusableImage]):
    """Augmented images with a Places365 class, by `ImageKey`; one that cannot be used comes as an `UnusableImage`."""

    def __init__(self, images: Sequence[LabelledImage], *, augmentation: SceneAugmentation, seed: int) -> None:
        self.images = images
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, key: ImageKey) -> Sample | UnusableImage:
        settings, image = self.augmentation, self.images[key.item]
        try:
            image_3HW = read_image(image.path, at_least=(2 * settings.height, 2 * settings.width))
        except TeacherError as fault:
            return _unusable(image.path, fault)
        image_3hw = augment_scene(image_3HW, settings, sample_generator(self.seed, key.epoch, key.item))
        return Sample(image_3hw, torch.tensor(image.label))


def _unusable(path: Path, fault: TeacherError) -> UnusableImage:
    return UnusableImage(str(path), str(fault).removeprefix(f"{path}: "))


def sample_generator(seed: int, epoch: int, index: int) -> Generator:
    """Make the generator of one sample in one epoch."""
    state = np.random.SeedSequence((seed, epoch, index)).generate_state(1, np.uint64)
    return Generator().manual_seed(int(state[0] >> np.uint64(1)))
