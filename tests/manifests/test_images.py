"""Lists of images for the teachers."""

from pathlib import Path

import pytest

from manifests.errors import ManifestError
from manifests.images import pair_by_stem
from manifests.lip import FLIP_PAIRS, PART_NAMES, read_lip
from manifests.places365 import (
    places365_classes,
    places365_indices,
    read_categories,
    read_class_folders,
    read_image_list,
)
from tests.manifests.realdata import real_data_dir


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_the_flip_swaps_left_and_right_and_nothing_else() -> None:
    swapped = {PART_NAMES[left]: PART_NAMES[right] for left, right in FLIP_PAIRS}
    assert swapped == {name: name.replace("left", "right") for name in PART_NAMES if name.startswith("left")}
    assert len(PART_NAMES) == 20


def test_places_names_are_the_365() -> None:
    names = places365_classes()
    assert len(names) == len(set(names)) == 365
    assert places365_indices(names) == list(range(365))
    spelled = ["/a/airfield", "g/garage/indoor", "garage-indoor", "living room", "no such place"]
    plain = ["airfield", "garage/indoor", "garage/indoor", "living_room"]
    assert places365_indices(spelled) == [*map(names.index, plain), None]


@pytest.mark.realdata
def test_places_names_are_the_official_ones() -> None:
    assert tuple(read_categories(real_data_dir() / "labels/categories_places365.txt")) == places365_classes()


@pytest.mark.realdata
def test_both_forms_of_miniplaces_agree() -> None:
    folder = real_data_dir() / "miniplaces"
    listed = read_image_list(folder / "train.txt", folder / "categories.txt")
    walked = read_class_folders(folder / "train")
    assert {image.path: listed.class_names[image.label] for image in listed.images} == {
        image.path: walked.class_names[image.label] for image in walked.images
    }
    assert sum(index is not None for index in places365_indices(listed.class_names)) == 96


def test_class_folders_of_any_depth(tmp_path: Path) -> None:
    for path in ("a/abbey/1.jpg", "beach/2.JPG", "g/garage/indoor/3.png", "g/garage/indoor/note.txt", "4.jpg"):
        touch(tmp_path / path)
    found = read_class_folders(tmp_path)
    assert found.class_names == ["abbey", "beach", "garage/indoor"]
    assert sorted((image.path.name, image.label) for image in found.images) == [
        ("1.jpg", 0),
        ("2.JPG", 1),
        ("3.png", 2),
    ]


@pytest.mark.parametrize("content", ["a.jpg\n", "a.jpg two\n", "a.jpg 2\n", ""])
def test_wrong_image_lists_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "categories.txt").write_text("/a/abbey 0\n/b/beach 1\n")
    (tmp_path / "train.txt").write_text(content)
    with pytest.raises(ManifestError, match=r"train\.txt"):
        read_image_list(tmp_path / "train.txt", tmp_path / "categories.txt")


def test_pairs_are_matched_by_stem_and_the_rest_is_counted(tmp_path: Path) -> None:
    for path in (
        "images/1.jpg",
        "images/2.jpg",
        "images/sub/3.jpg",
        "labels/1.png",
        "labels/sub/3.png",
        "labels/9.png",
    ):
        touch(tmp_path / path)
    pairs = pair_by_stem(tmp_path / "images", tmp_path / "labels")
    assert [(pair.image_path.name, pair.mask_path.name) for pair in pairs.images] == [
        ("1.jpg", "1.png"),
        ("3.jpg", "3.png"),
    ]
    assert [path.name for path in pairs.without_mask] == ["2.jpg"]
    touch(tmp_path / "images/1.png")
    with pytest.raises(ManifestError, match="share a stem"):
        pair_by_stem(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("list_beside_images", [False, True])
def test_lip_layouts(tmp_path: Path, nested: bool, list_beside_images: bool) -> None:
    names = ("TrainVal_images", "TrainVal_parsing_annotations")
    images, masks = (tmp_path / name / (name if nested else "") for name in names)
    touch(images / "val_images/a.jpg")
    touch(images / "val_images/b.jpg")
    touch(masks / "val_segmentations/a.png")
    (images if list_beside_images else tmp_path).joinpath("val_id.txt").write_text("a\nb\n")
    found = read_lip(tmp_path, "val")
    assert [pair.image_path.name for pair in found.images] == ["a.jpg"]
    assert [path.name for path in found.without_mask] == ["b.jpg"]
    with pytest.raises(ManifestError, match="train_images"):
        read_lip(tmp_path, "train")
