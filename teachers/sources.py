"""Which images a teacher is trained and scored on: folders to lists, with what was left out counted."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from manifests.images import LabelledImage, LabelledImages, MaskedImage, pair_by_stem
from manifests.lip import read_lip
from manifests.places365 import places365_indices, read_class_folders, read_image_list
from pipeline.errors import TeacherError

MASK_DIRS = ("labels", "masks", "annotations")
HELD_BACK_EVERY = 8
SPLITS = ("train", "val")


class HumanLayout(StrEnum):
    """How images and class maps lie."""

    LIP = "lip"
    FOLDERS = "folders"


class SceneLayout(StrEnum):
    """How scene images lie: a folder per class below train/ and val/, or lists beside them."""

    PLACES365 = "places365"
    FILE_LIST = "file-list"


class ListFiles(NamedTuple):
    """The names that one data set gives to its lists.

    Attributes:
        categories: the class names.
        lists: of each split.
        image_dirs: of each split, the folders below which the listed paths may lie; the first that exists is taken,
            else the data set's own.
    """

    categories: str
    lists: dict[str, str]
    image_dirs: dict[str, tuple[str, ...]]


LIST_FILES = (
    ListFiles("categories.txt", {"train": "train.txt", "val": "val.txt"}, {"train": (), "val": ()}),
    ListFiles(
        "categories_places365.txt",
        {"train": "places365_train_standard.txt", "val": "places365_val.txt"},
        {
            "train": ("data_256", "data_256_standard", "data_large", "data_large_standard"),
            "val": ("val_256", "val_large"),
        },
    ),
)


class HumanSource(NamedTuple):
    """Images with class maps.

    Attributes:
        train, val: the images to learn from and those held back.
        without_mask: images left out since they have no class map.
        layouts: how each data set's images lie.
        without_val: data sets without held-out images.
    """

    train: list[MaskedImage]
    val: list[MaskedImage]
    without_mask: tuple[Path, ...]
    layouts: tuple[HumanLayout, ...]
    without_val: tuple[Path, ...]


class SceneSource(NamedTuple):
    """Images with Places365 classes.

    Attributes:
        train, val: as the data set splits them; labels are Places365 indices.
        unknown_classes: classes left out since Places365 has none of that name.
        unknown_images: number of images of those classes.
        layouts: how each data set's images lie.
        without_val: data sets without held-out images.
    """

    train: list[LabelledImage]
    val: list[LabelledImage]
    unknown_classes: tuple[str, ...]
    unknown_images: int
    layouts: tuple[SceneLayout, ...]
    without_val: tuple[Path, ...]


def find_human_images(
    data_dirs: Sequence[Path], layout: HumanLayout | None = None, *, splits: Sequence[str] = SPLITS
) -> HumanSource:
    """List images of several data sets; each is LIP where its folder ``TrainVal_images`` says so.

    Folder pairs (``images/`` with ``labels/``, ``masks/`` or ``annotations/``) have no official split: every eighth
    image, in name order, is held back. Of LIP only the `splits` are read; the others need not be there. Where training
    images are asked for, held-out ones may be missing.

    Raises:
        KinetError: a folder that is missing or empty, or has neither layout.
    """
    train: list[MaskedImage] = []
    val: list[MaskedImage] = []
    without_mask: list[Path] = []
    layouts: list[HumanLayout] = []
    without_val: list[Path] = []
    for data_dir in data_dirs:
        _check_dir(data_dir)
        is_lip = (data_dir / "TrainVal_images").is_dir()
        if layout == HumanLayout.LIP or (layout is None and is_lip):
            layouts.append(HumanLayout.LIP)
            for split in splits:
                if split == "val" and "train" in splits and not _has_lip_val(data_dir):
                    without_val.append(data_dir)
                    continue
                found = read_lip(data_dir, split)
                (train if split == "train" else val).extend(found.images)
                without_mask += found.without_mask
        else:
            layouts.append(HumanLayout.FOLDERS)
            pairs = pair_by_stem(data_dir / "images", _mask_dir(data_dir))
            held_back = pairs.images[HELD_BACK_EVERY - 1 :: HELD_BACK_EVERY]
            train += [image for i, image in enumerate(pairs.images) if i % HELD_BACK_EVERY != HELD_BACK_EVERY - 1]
            val += held_back
            without_mask += pairs.without_mask
            if not held_back:
                without_val.append(data_dir)
    return HumanSource(train, val, tuple(without_mask), tuple(layouts), tuple(without_val))


def _has_lip_val(data_dir: Path) -> bool:
    """Look for the list of held-out images where `read_lip` does."""
    return any(next(data_dir.glob(f"{prefix}val_id.txt"), None) for prefix in ("", "TrainVal_*/", "TrainVal_*/*/"))


def _check_dir(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise TeacherError(f"{data_dir}: no such folder; --data names a folder of images")


def _mask_dir(data_dir: Path) -> Path:
    for name in MASK_DIRS:
        if (data_dir / "images").is_dir() and (data_dir / name).is_dir():
            return data_dir / name
    raise TeacherError(f"{data_dir}: neither LIP (TrainVal_images/) nor images/ beside one of {', '.join(MASK_DIRS)}/")


def find_scene_images(
    data_dirs: Sequence[Path], layout: SceneLayout | None = None, *, splits: Sequence[str] = SPLITS
) -> SceneSource:
    """List scene images of several data sets, with the Places365 index of their class's name; `splits` alone are read.

    Where training images are asked for, held-out ones may be missing.

    Raises:
        KinetError: a folder that is missing, has neither layout, or no image of a Places365 class.
    """
    images: dict[str, list[LabelledImage]] = {split: [] for split in SPLITS}
    unknown_classes: set[str] = set()
    unknown_images = 0
    layouts: list[SceneLayout] = []
    without_val: list[Path] = []
    for data_dir in data_dirs:
        _check_dir(data_dir)
        for split in splits:
            read = _read_split(data_dir, split, layout)
            if read is None and split == "val" and "train" in splits:
                without_val.append(data_dir)
                continue
            if read is None:
                lists = " or ".join(f"{files.lists[split]} with {files.categories}" for files in LIST_FILES)
                raise TeacherError(f"{data_dir}: no {split} images; expected {split}/<class>/*.jpg, or {lists}")
            found, seen = read
            if split == splits[0]:
                layouts.append(seen)
            index_of_label = places365_indices(found.class_names)
            for image in found.images:
                index = index_of_label[image.label]
                if index is None:
                    unknown_classes.add(found.class_names[image.label])
                    unknown_images += 1
                else:
                    images[split].append(LabelledImage(image.path, index))
    if not images["train"] and not images["val"]:
        raise TeacherError(f"{', '.join(map(str, data_dirs))}: none of the classes has a name of Places365")
    return SceneSource(
        images["train"],
        images["val"],
        tuple(sorted(unknown_classes)),
        unknown_images,
        tuple(layouts),
        tuple(without_val),
    )


def _read_split(data_dir: Path, split: str, layout: SceneLayout | None) -> tuple[LabelledImages, SceneLayout] | None:
    """Read one split by the layout given, or else by the one seen, and say which; None where there is no such split."""
    if layout != SceneLayout.PLACES365:
        for files in LIST_FILES:
            list_path, categories_path = data_dir / files.lists[split], data_dir / files.categories
            if list_path.is_file() and categories_path.is_file():
                candidates = [data_dir / name for name in files.image_dirs[split] if (data_dir / name).is_dir()]
                image_dir = candidates[0] if candidates else None
                return read_image_list(list_path, categories_path, image_dir), SceneLayout.FILE_LIST
    if layout != SceneLayout.FILE_LIST and (data_dir / split).is_dir():
        return read_class_folders(data_dir / split), SceneLayout.PLACES365
    return None
