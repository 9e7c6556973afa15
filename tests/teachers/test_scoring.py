"""Scoring: into the card with data and day, beside published figures; a user's own teacher likewise."""

import datetime
import json
import os
from pathlib import Path

import pytest
import torch

from teachers.architectures import Kind, build_network, default_preprocessing
from teachers.storage import TeacherCard, read_card, save_teacher
from tests.teachers.conftest import write_scenes
from tests.teachers.test_teacher_command import run

torch.set_num_threads(1)
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
        assert set(scores) == {"top1", "top5", "images", "unreadable"}
    card = read_card(workspace / "teachers" / "scene.safetensors", Kind.SCENE)
    assert [(entry.data, entry.crops, entry.date) for entry in card.evaluations] == [
        (("scenes",), 10, today),
        (("scenes",), 1, today),
    ]
    assert card.scores == scores
    code, out, _ = run(["teacher", "show", "scene", "--workspace", str(workspace)], capsys)
    assert code == 0
    assert f"scored   scenes, 10 crops, {today}" in out
    assert "license  not stated" in out


def test_wrong_ways_to_score_are_named(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = write_scenes(workspace / "scenes", ("airfield",), 1)
    common = ["teacher", "evaluate", "scene", "--data", str(scenes), "--workspace", str(workspace)]
    code, _, err = run([*common, "--weights", "x.pth"], capsys)
    assert (code, "--weights goes with --factory" in err) == (2, True)
    code, _, err = run([*common, "--factory", "tests.teachers.absent:load"], capsys)
    assert (code, "give an importable module:function" in err) == (1, True)


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
