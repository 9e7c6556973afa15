"""Scoring: into the card with data and day, beside published figures; a user's own teacher likewise."""

import dataclasses
import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from teachers.architectures import build_network, default_preprocessing
from teachers.cards import Evaluation, TeacherCard
from teachers.kinds import Kind
from teachers.storage import read_card, save_teacher
from tests.teachers.conftest import write_scenes
from tests.teachers.test_teacher_command import run

SQUEEZENET = "tests.teachers.places_squeezenet:load"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    card = TeacherCard(Kind.SCENE, "squeezenet1_1", 365, default_preprocessing(Kind.SCENE, (64, 64)), "a test")
    save_teacher(build_network(Kind.SCENE, "squeezenet1_1", 365), card, tmp_path / "teachers" / "scene.safetensors")
    return tmp_path


def test_scores_go_into_the_card(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = write_scenes(workspace / "scenes", ("airfield", "alley"), 1)
    common = ["teacher", "evaluate", "scene", "--data", str(scenes), "--workspace", str(workspace), "--json"]
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for crops in ("1", "10", "1"):
        code, out, _ = run([*common, "--crops", crops], capsys)
        assert code == 0
        scores = json.loads(out)
        published = {entry["architecture"]: entry for entry in scores.pop("published")}
        assert published["resnet152"]["scores"] == {"top1": 0.5474, "top5": 0.8498}
        assert "README" in published["resnet152"]["source"]
        assert (scores.pop("without_mask"), scores.pop("unknown_images"), scores.pop("unknown_classes")) == (0, 0, [])
        assert set(scores) == {"top1", "top5", "images", "unreadable"}
    card = read_card(workspace / "teachers" / "scene.safetensors", Kind.SCENE)
    assert [(entry.data, entry.crops, entry.date) for entry in card.evaluations] == [
        ((str(scenes),), 10, today),
        ((str(scenes),), 1, today),
    ]
    assert card.scores == scores
    code, out, _ = run(["teacher", "show", "scene", "--workspace", str(workspace)], capsys)
    assert code == 0
    assert f"scored   {scenes}, 10 crops, float32, {today}" in out
    assert "license  not stated" in out


def test_wrong_ways_to_score_are_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = write_scenes(workspace / "scenes", ("airfield",), 1)
    common = ["teacher", "evaluate", "scene", "--data", str(scenes), "--workspace", str(workspace)]
    code, _, err = run([*common, "--weights", "x.pth"], capsys)
    assert (code, "--weights goes with --factory" in err) == (2, True)
    code, _, err = run([*common, "--factory", "tests.teachers.absent:load"], capsys)
    assert (code, "give an importable module:function" in err) == (1, True)


def test_scores_under_other_conditions_stand_beside_each_other() -> None:
    card = TeacherCard(Kind.SCENE, "squeezenet1_1", 365, default_preprocessing(Kind.SCENE), "a test")
    first = Evaluation(("/a/val",), "2026-01-01", {"top1": 0.5}, layouts=("places365",))
    changes: tuple[dict[str, Any], ...] = (
        {"data": ("/b/val",)},
        {"crops": 10},
        {"precision": "bfloat16"},
        {"max_images": 7},
        {"layouts": ("file-list",)},
    )
    for evaluation in (first, *(dataclasses.replace(first, **change) for change in changes)):
        card = card.with_evaluation(evaluation)
    assert len(card.evaluations) == 1 + len(changes)
    again = card.with_evaluation(dataclasses.replace(first, date="2026-02-02", scores={"top1": 0.6}))
    assert len(again.evaluations) == len(card.evaluations)
    assert again.scores == {"top1": 0.6}
    assert "scores" not in again.to_fields()


def test_what_is_left_out_is_counted_and_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = write_scenes(workspace / "scenes", ("airfield", "my_room"), 1)
    common = ["teacher", "evaluate", "scene", "--data", str(scenes), "--workspace", str(workspace)]
    code, out, _ = run(common, capsys)
    assert code == 0
    assert "left out  2 images of classes that Places365 lacks: my_room" in out
    scored = read_card(workspace / "teachers" / "scene.safetensors", Kind.SCENE).evaluations[-1]
    assert (scored.unknown_images, scored.unknown_classes, scored.layouts) == (2, ("my_room",), ("places365",))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("strips", r"predict_masks must be bool [1, 48, 64], found bool [1, 48, 60]"),
        ("fails_on_others", "failed on frames of [1, 48, 64, 3]: ZeroDivisionError"),
        ("floats", "predict_masks must be bool [2, 256, 340]"),
    ],
)
def test_a_users_own_teacher_is_tried_and_checked(
    function: str, message: str, people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.pth").touch()
    arguments = ["--data", str(people_dir), "--weights", str(tmp_path / "w.pth"), "--workspace", str(tmp_path)]
    factory = f"tests.pipeline.label.wrong_teachers:{function}"
    code, out, err = run(["teacher", "evaluate", "human", *arguments, "--factory", factory], capsys)
    assert (code, out) == (1, "")
    assert message in err
    assert "Traceback" not in err


def test_auto_precision_is_resolved_before_the_factory(
    people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.pth").touch()
    arguments = ["--data", str(people_dir), "--weights", str(tmp_path / "w.pth"), "--workspace", str(tmp_path)]
    factory = "tests.pipeline.label.wrong_teachers:wants_known_precision"
    command = ["teacher", "evaluate", "human", *arguments, "--precision", "auto", "--factory", factory, "--json"]
    code, out, _ = run(command, capsys)
    assert code == 0
    assert json.loads(out)["mask_iou"] == 0


@pytest.mark.realdata
def test_a_users_own_teacher_knows_real_scenes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = os.environ.get("KINET_REAL_DATA")
    if not root:
        pytest.skip("KINET_REAL_DATA does not name the folder of real data")
    real = Path(root)
    data = tmp_path / "places365"
    data.mkdir()
    (data / "val_256").symlink_to(real / "places365_val")
    (data / "categories_places365.txt").symlink_to(real / "labels" / "categories_places365.txt")
    lines = [line.split()[:2] for line in (real / "places365_val" / "labels.txt").read_text().splitlines()]
    listed = [" ".join(pair) for pair in lines if len(pair) == 2 and pair[0].startswith("Places365_val")]
    (data / "places365_val.txt").write_text("\n".join(listed) + "\n")
    weights = real / "weights" / "squeezenet_places365_bn.pth"
    arguments = ["teacher", "evaluate", "scene", "--data", str(data), "--factory", SQUEEZENET, "--weights"]
    code, out, _ = run([*arguments, str(weights), "--json", "--workspace", str(tmp_path)], capsys)
    assert code == 0
    scores = json.loads(out)
    assert scores["images"] == 10
    assert scores["top5"] >= 0.9
    code, _, err = run([*arguments, str(weights), "--crops", "10", "--workspace", str(tmp_path)], capsys)
    assert code == 2
    assert "ten crops need a teacher of this project" in err
