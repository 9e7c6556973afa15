"""Layouts on disk to lists of images."""

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from manifests.images import LabelledImage
from manifests.places365 import places365_classes
from pipeline.errors import TeacherError
from teachers.sources import (
    HELD_BACK_EVERY,
    find_human_images,
    find_scene_images,
)
from tests.teachers.conftest import write_folder_pairs, write_scenes


def test_folders_hold_back_every_eighth_and_count_images_without_a_map(tmp_path: Path) -> None:
    one = write_folder_pairs(tmp_path / "one", 17)
    two = write_folder_pairs(tmp_path / "two", 8)
    (one / "labels" / "016.png").unlink()
    source = find_human_images([one, two])
    assert [path.name for path in source.without_mask] == ["016.jpg"]
    assert [image.image_path.stem for image in source.val] == ["007", "015", "007"]
    assert len(source.train) == 16 - 16 // HELD_BACK_EVERY + 7
    assert not set(source.train) & set(source.val)


def test_lip_is_recognised_and_keeps_its_split(tmp_path: Path) -> None:
    for split, names in (("train", ["12_3", "45_6"]), ("val", ["7_8"])):
        images = tmp_path / "TrainVal_images" / f"{split}_images"
        maps = tmp_path / "TrainVal_parsing_annotations" / f"{split}_segmentations"
        images.mkdir(parents=True)
        maps.mkdir(parents=True)
        for name in names:
            Image.new("RGB", (8, 8)).save(images / f"{name}.jpg")
            Image.new("L", (8, 8)).save(maps / f"{name}.png")
        (tmp_path / f"{split}_id.txt").write_text("\r\n".join([*names, "absent", ""]))
    source = find_human_images([tmp_path])
    assert [image.image_path.name for image in source.train] == ["12_3.jpg", "45_6.jpg"]
    assert [image.mask_path.name for image in source.val] == ["7_8.png"]
    assert len(source.without_mask) == 2


@pytest.mark.parametrize("make", [False, True])
def test_missing_and_foreign_folders_are_named(tmp_path: Path, make: bool) -> None:
    folder = tmp_path / "data"
    if make:
        folder.mkdir()
    with pytest.raises(TeacherError, match=str(folder)):
        find_human_images([folder])
    with pytest.raises(TeacherError, match=str(folder)):
        find_scene_images([folder])


def test_folders_and_lists_give_places365_indices(tmp_path: Path) -> None:
    names = places365_classes()
    folders = write_scenes(tmp_path / "folders", ("zen_garden", "a/airfield", "no_such_place"), 2)
    source = find_scene_images([folders])
    assert source.unknown_classes == ("no_such_place",)
    assert source.unknown_images == 4
    assert {image.label for image in source.train} == {0, 364}
    lists = tmp_path / "lists"
    lists.mkdir()
    Image.new("RGB", (8, 8)).save(lists / "x.jpg")
    (lists / "categories.txt").write_text("/b/beach 0\n/q/nowhere 1\n")
    (lists / "train.txt").write_text("x.jpg 0\ny.jpg 1\n")
    (lists / "val.txt").write_text("x.jpg 0\n")
    source = find_scene_images([lists])
    assert source.train == [LabelledImage(lists / "x.jpg", names.index("beach"))]
    assert source.unknown_images == 1


def test_official_lists_point_into_the_folder_of_small_images(tmp_path: Path) -> None:
    (tmp_path / "data_256").mkdir()
    (tmp_path / "categories_places365.txt").write_text(
        "".join(f"/x/{n} {i}\n" for i, n in enumerate(places365_classes()))
    )
    (tmp_path / "places365_train_standard.txt").write_text("/z/zen_garden/00000001.jpg 364\n")
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg 0\n")
    source = find_scene_images([tmp_path])
    assert source.train == [LabelledImage(tmp_path / "data_256/z/zen_garden/00000001.jpg", 364)]
    assert source.val == [LabelledImage(tmp_path / "Places365_val_00000001.jpg", 0)]


@pytest.mark.realdata
@pytest.mark.skipif("KINET_REAL_DATA" not in os.environ, reason="KINET_REAL_DATA names no folder of real data")
def test_real_miniplaces_maps_96_of_100_classes() -> None:
    source = find_scene_images([Path(os.environ["KINET_REAL_DATA"]) / "miniplaces"])
    assert len(source.unknown_classes) == 4
    assert len({image.label for image in source.train}) == 96


def test_training_needs_no_held_out_images(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", ("airfield",), 2)
    shutil.rmtree(scenes / "val")
    source = find_scene_images([scenes])
    assert (len(source.train), source.val, source.without_val) == (2, [], (scenes,))
    with pytest.raises(TeacherError, match="no val images"):
        find_scene_images([scenes], splits=("val",))
    few = find_human_images([write_folder_pairs(tmp_path / "few", 3)])
    assert (len(few.train), few.val, few.without_val) == (3, [], (tmp_path / "few",))


@pytest.mark.parametrize("name", ["data_256_standard", "data_large_standard"])
def test_torchvisions_folder_names_are_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "categories_places365.txt").write_text("/a/airfield 0\n")
    (tmp_path / "places365_train_standard.txt").write_text("/a/airfield/1.jpg 0\n")
    source = find_scene_images([tmp_path], splits=("train",))
    assert [image.path for image in source.train] == [tmp_path / name / "a/airfield/1.jpg"]
