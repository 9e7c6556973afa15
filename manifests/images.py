"""Images for the teachers' training: with a part map, or with a class."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ManifestError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})


@dataclass(frozen=True, slots=True)
class MaskedImage:
    """An image and its map of class ids.

    Attributes:
        image_path: an RGB image.
        mask_path: an image of the same size with one uint8 id a pixel, 0 background.
    """

    image_path: Path
    mask_path: Path


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image and its class index."""

    path: Path
    label: int


@dataclass(frozen=True)
class LabelledImages:
    """A list of images with the names of their classes; `images[i].label` is a position in `class_names`."""

    images: list[LabelledImage]
    class_names: list[str]


@dataclass(frozen=True)
class MaskedImages:
    """Pairs of image and mask.

    Attributes:
        images: the complete pairs, sorted by name or in the list's order.
        without_mask: images that have no mask (or, in a list of ids, no image or no mask).
    """

    images: list[MaskedImage]
    without_mask: list[Path]


def pair_by_stem(images_dir: Path, masks_dir: Path) -> MaskedImages:
    """Pair the images of one folder with the masks of another by file stem; masks without an image are left out.

    Raises:
        ManifestError: a folder is missing or empty, two files of a folder share a stem, or no pair is found.
    """
    images = _paths_by_stem(images_dir)
    masks = _paths_by_stem(masks_dir)
    pairs = [MaskedImage(path, masks[stem]) for stem, path in images.items() if stem in masks]
    if not pairs:
        raise ManifestError(
            f"{images_dir} and {masks_dir}: no image and mask share a name; expected e.g. 0001.jpg and 0001.png"
        )
    return MaskedImages(pairs, [path for stem, path in images.items() if stem not in masks])


def walk_images(folder: Path) -> Iterator[Path]:
    """Yield the image files below a folder, sorted by path; hidden ones are left out.

    Raises:
        ManifestError: the folder is missing.
    """
    if not folder.is_dir():
        raise ManifestError(f"image folder {folder} does not exist; check the path")
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                yield Path(parent, name)


def _paths_by_stem(folder: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in walk_images(folder):
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in paths:
            raise ManifestError(f"{folder}: {paths[stem].name} and {path.name} share a stem; a pair would be ambiguous")
        paths[stem] = path
    if not paths:
        raise ManifestError(f"image folder {folder}: no image in it (expected {', '.join(sorted(IMAGE_SUFFIXES))})")
    return paths
