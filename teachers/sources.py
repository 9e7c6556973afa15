"""Which images a teacher is trained and scored on: layouts on disk to lists, with what was left out counted."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import TeacherError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
MASK_DIRS = ("labels", "masks", "annotations")
HELD_BACK_EVERY = 8


class MaskedImage(NamedTuple):
    """An image and its map of class ids."""

    image_path: Path
    mask_path: Path


class LabelledImage(NamedTuple):
    """An image and its Places365 class."""

    path: Path
    label: int


class HumanLayout(StrEnum):
    """How images and class maps lie."""

    LIP = "lip"
    FOLDERS = "folders"


class SceneLayout(StrEnum):
    """How scene images lie: a folder per class below train/ and val/, or lists beside them."""

    PLACES365 = "places365"
    FILE_LIST = "file-list"


class HumanSource(NamedTuple):
    """Images with class maps.

    Attributes:
        train, val: the images to learn from and those held back.
        without_mask: images left out since they have no class map.
    """

    train: list[MaskedImage]
    val: list[MaskedImage]
    without_mask: int


class SceneSource(NamedTuple):
    """Images with Places365 classes.

    Attributes:
        train, val: as the data set splits them.
        unknown_classes: classes left out since Places365 has none of that name.
        unknown_images: images of those classes.
    """

    train: list[LabelledImage]
    val: list[LabelledImage]
    unknown_classes: tuple[str, ...]
    unknown_images: int


def find_human_images(data_dirs: Sequence[Path], layout: HumanLayout | None = None) -> HumanSource:
    """List images of several data sets; each is LIP where its folder ``TrainVal_images`` says so.

    Folder pairs (``images/`` with ``labels/``, ``masks/`` or ``annotations/``) have no official split: every eighth
    image, in name order, is held back.

    Raises:
        TeacherError: a folder that is missing or empty, or has neither layout.
    """
    train: list[MaskedImage] = []
    val: list[MaskedImage] = []
    without_mask = 0
    for data_dir in data_dirs:
        _check_dir(data_dir)
        is_lip = (data_dir / "TrainVal_images").is_dir()
        if layout == HumanLayout.LIP or (layout is None and is_lip):
            parts = (_lip_split(data_dir, "train"), _lip_split(data_dir, "val"))
            train += parts[0]
            val += parts[1]
            continue
        pairs, missing = _folder_pairs(data_dir)
        train += [pair for index, pair in enumerate(pairs) if index % HELD_BACK_EVERY != HELD_BACK_EVERY - 1]
        val += pairs[HELD_BACK_EVERY - 1 :: HELD_BACK_EVERY]
        without_mask += missing
    return HumanSource(train, val, without_mask)


def _check_dir(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise TeacherError(f"{data_dir}: no such folder")


def _lip_split(data_dir: Path, split: str) -> list[MaskedImage]:
    list_path = data_dir / f"{split}_id.txt"
    if not list_path.is_file():
        raise TeacherError(f"{list_path}: missing; LIP has it beside TrainVal_images")
    image_dir = data_dir / "TrainVal_images" / f"{split}_images"
    mask_dir = data_dir / "TrainVal_parsing_annotations" / f"{split}_segmentations"
    names = list_path.read_text(encoding="utf-8").split()
    return [MaskedImage(image_dir / f"{name}.jpg", mask_dir / f"{name}.png") for name in names]


def _folder_pairs(data_dir: Path) -> tuple[list[MaskedImage], int]:
    """Pair images and maps by their names without suffix; return the pairs and the number of images without a map."""
    image_dir = data_dir / "images"
    mask_dir = next((data_dir / name for name in MASK_DIRS if (data_dir / name).is_dir()), None)
    if not image_dir.is_dir() or mask_dir is None:
        raise TeacherError(
            f"{data_dir}: neither LIP (TrainVal_images/) nor images/ beside one of {', '.join(MASK_DIRS)}/"
        )
    masks = {path.stem: path for path in sorted(mask_dir.iterdir())}
    images = sorted(path for path in image_dir.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    pairs = [MaskedImage(path, masks[path.stem]) for path in images if path.stem in masks]
    if not pairs:
        raise TeacherError(f"{data_dir}: no image of images/ has a map of the same name in {mask_dir.name}/")
    return pairs, len(images) - len(pairs)


def places365_classes() -> list[str]:
    """Return the 365 class names in index order, as `canonical_class` writes them."""
    lines = (Path(__file__).parent / "categories_places365.txt").read_text(encoding="utf-8").splitlines()
    return [canonical_class(line.rsplit(" ", 1)[0]) for line in lines if line]


def canonical_class(name: str) -> str:
    """Write a class as its folder is called: ``/a/apartment_building/outdoor`` -> ``apartment_building-outdoor``."""
    parts = name.strip("/").split("/")
    return "-".join(parts[1:] if len(parts) > 1 and len(parts[0]) == 1 else parts)


def find_scene_images(data_dirs: Sequence[Path], layout: SceneLayout | None = None) -> SceneSource:
    """List scene images of several data sets, with the Places365 index of their class's name.

    Raises:
        TeacherError: a folder that is missing, has neither layout, or no image of a Places365 class.
    """
    index_of = {name: index for index, name in enumerate(places365_classes())}
    images: dict[str, list[LabelledImage]] = {"train": [], "val": []}
    unknown: dict[str, int] = {}
    for data_dir in data_dirs:
        _check_dir(data_dir)
        has_lists = (data_dir / "categories.txt").is_file() and (data_dir / "train.txt").is_file()
        use_lists = layout == SceneLayout.FILE_LIST or (layout is None and has_lists)
        for split in images:
            for path, name in (_listed if use_lists else _foldered)(data_dir, split):
                if name in index_of:
                    images[split].append(LabelledImage(path, index_of[name]))
                else:
                    unknown[name] = unknown.get(name, 0) + 1
    if not images["train"] and not images["val"]:
        raise TeacherError(
            f"{', '.join(map(str, data_dirs))}: no image of a Places365 class; expected train/<class>/*.jpg and "
            "val/<class>/*.jpg, or train.txt, val.txt and categories.txt"
        )
    return SceneSource(images["train"], images["val"], tuple(sorted(unknown)), sum(unknown.values()))


def _listed(data_dir: Path, split: str) -> list[tuple[Path, str]]:
    """Read ``<split>.txt`` (``path index``) with ``categories.txt`` (``name index``)."""
    try:
        lines = (data_dir / "categories.txt").read_text(encoding="utf-8").splitlines()
        rows = (data_dir / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        name_of = {int(line.rsplit(" ", 1)[1]): canonical_class(line.rsplit(" ", 1)[0]) for line in lines if line}
        pairs = [row.rsplit(" ", 1) for row in rows if row]
        return [(data_dir / path.lstrip("/"), name_of[int(index)]) for path, index in pairs]
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise TeacherError(f"{data_dir}: unreadable lists of {split} images ({error})") from error


def _foldered(data_dir: Path, split: str) -> list[tuple[Path, str]]:
    """Read ``<split>/<class>/<image>``, where a class's folder may be nested as in ``a/apartment_building/outdoor``."""
    split_dir = data_dir / split
    if not split_dir.is_dir():
        return []
    paths = sorted(path for path in split_dir.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    return [(path, canonical_class(path.parent.relative_to(split_dir).as_posix())) for path in paths]
