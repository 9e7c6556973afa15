"""The command line: training, importing, scoring, showing; faults in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from teachers.architectures import Kind, build_network
from teachers.storage import read_card
from tests.teachers.conftest import write_folder_pairs

torch.set_num_threads(1)
TINY = ["--architecture", "pspnet_squeezenet1_1", "--classes", "2", "--input-size", "32x40", "--batch-size", "4"]


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Run a command; return its exit code, stdout and stderr."""
    code = 0
    try:
        main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    output = capsys.readouterr()
    return code, output.out, output.err


def test_train_evaluate_and_show(people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = str(tmp_path / "ws")
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--epochs", "2", "--json"]
    code, out, _ = run([*train, "--workspace", workspace], capsys)
    assert code == 0
    card = json.loads(out)
    assert card["scores"]["images"] == 2
    assert card["training"]["steps"] == 6
    assert Path(card["path"]).is_file()

    evaluate = ["teacher", "evaluate", "human", "--data", str(people_dir), "--json", "--workspace", workspace]
    code, out, _ = run(evaluate, capsys)
    assert code == 0
    scores = json.loads(out)
    assert scores.pop("published")[0]["architecture"] == "pspnet_lip_densenet121"
    assert [scores.pop(name) for name in ("without_mask", "unknown_images", "unknown_classes")] == [0, 0, []]
    assert scores == card["scores"]

    code, out, _ = run(["teacher", "show", "human", "--json", "--workspace", workspace], capsys)
    assert code == 0
    assert json.loads(out)["human"]["sha256"] == card["sha256"]

    code, out, _ = run(["teacher", "show", "--workspace", workspace], capsys)
    assert code == 0
    assert "human teacher pspnet_squeezenet1_1" in out
    assert out.endswith("scene: none\n")


def test_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict(), tmp_path / "s.pth")
    arguments = ["teacher", "import", "scene", str(tmp_path / "s.pth"), "--architecture", "squeezenet1_1"]
    code, out, _ = run([*arguments, "--input-size", "112x112", "--workspace", str(tmp_path)], capsys)
    assert code == 0
    assert "scene teacher squeezenet1_1, 365 classes" in out
    assert read_card(tmp_path / "teachers" / "scene.safetensors", Kind.SCENE).preprocessing.input_size == (112, 112)


def test_import_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict()
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "misnamed.caffemodel")
    arguments = ["teacher", "import", "scene", str(tmp_path / "misnamed.caffemodel"), "--workspace", str(tmp_path)]
    code, out, _ = run([*arguments, "--license", "CC BY", "--source", "a colleague", "--json"], capsys)
    assert code == 0
    said = json.loads(out)
    assert (said["format"], said["tensors"], said["dropped"]) == ("pytorch", len(state), ["epoch"])
    assert (said["license"], said["source"], said["architecture"]) == ("CC BY", "a colleague", "squeezenet1_1")
    code, out, _ = run(arguments, capsys)
    assert code == 0
    assert f"taken    {len(state)} tensors of a pytorch file" in out
    assert "dropped  epoch" in out


def test_our_own_file_must_be_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict(), tmp_path / "s.pth")
    assert run(["teacher", "import", "scene", str(tmp_path / "s.pth"), "--workspace", str(tmp_path)], capsys)[0] == 0
    ours = tmp_path / "teachers" / "scene.safetensors"
    content = bytearray(ours.read_bytes())
    content[-1] ^= 1
    ours.write_bytes(content)
    code, _, err = run(["teacher", "import", "scene", str(ours), "--workspace", str(tmp_path / "other")], capsys)
    assert code == 1
    assert "altered or cut short" in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "human"], 1, "teacher import human FILE"),
        (["import", "human", "absent.pth"], 1, "absent.pth: no such file"),
        (["import", "human", "absent.pth", "--input-size", "2x2"], 2, "at least 17 pixels"),
        (["import", "scene", "absent", "--mean-values", "1,2"], 2, "expected 3 numbers"),
        (["import", "scene", "absent", "--mean-values", "1,2,3", "--mean-image", "x"], 2, "not both"),
        (["import", "human", "absent", "--person-classes", "x"], 2, "list of numbers"),
        (["evaluate", "scene", "--data", ".", "--factory", "load"], 2, "is no MODULE:FUNCTION"),
        (["train", "human", "--data", "absent"], 1, "absent: no such folder"),
        (["train", "scene", "--data", "absent", "--classes", "2"], 2, "365 classes"),
        (["train", "human", "--data", "absent", "--lr", "-1"], 2, "learning_rate"),
        (["train", "human", "--data", "absent", "--lr", "inf"], 2, "learning_rate"),
        (["train", "human", "--data", "absent", "--weight-decay", "nan"], 2, "weight_decay"),
        (["train", "human", "--data", "absent", "--max-minutes", "nan"], 2, "max_minutes"),
        (["train", "human", "--data", "absent", "--architecture", "pspnet_semseg_resnet50"], 2, "only be imported"),
        (["train", "scene", "--data", "absent", "--architecture", "inception_v3"], 2, "only be imported"),
        (["train", "human", "--data", "absent", "--input-size", "12"], 2, "128x168"),
        (["train", "human", "--data", "absent", "--input-size", "2x2"], 2, "height"),
        (["train", "human", "--data", ".", "--layout", "places365"], 2, "lip or folders"),
        (["evaluate", "human", "--data", "."], 1, "no human teacher"),
    ],
)
def test_faults_are_one_line(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    got, out, err = run(["teacher", *arguments, "--workspace", str(tmp_path)], capsys)
    assert got == code
    assert message in err
    assert out == ""
    assert "Traceback" not in err


def test_sigterm_ends_training_and_keeps_what_was_learned(tmp_path: Path) -> None:
    people_dir = write_folder_pairs(tmp_path / "people", 8)
    command = [sys.executable, "-m", "pipeline.cli", "teacher", "train", "human", "--data", str(people_dir), *TINY]
    process = subprocess.Popen(
        [*command, "--epochs", "100000", "--workspace", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    assert "images to train on" in process.stderr.readline()
    time.sleep(2)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "stopped by SIGTERM" in err
    assert "Traceback" not in err
    assert read_card(tmp_path / "teachers" / "human.safetensors", Kind.HUMAN).scores == {}
