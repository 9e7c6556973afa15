"""The command line: training, importing, scoring, showing; faults in one line."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from pipeline.training.runlog import read_metrics
from teachers.architectures import build_network
from teachers.kinds import Kind
from teachers.storage import load_teacher, previous_path, read_card, write_card
from tests.teachers.conftest import write_folder_pairs

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
    code, out, err = run(arguments, capsys)
    assert code == 1
    assert "there is a scene teacher already" in err
    code, out, _ = run([*arguments, "--replace"], capsys)
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


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start a command as a process whose sums do not depend on this one's threads."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *command],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def train_killed_by(number: signal.Signals, command: list[str], after_steps: int) -> tuple[int, str]:
    """Start a training and send it a signal after some steps; return its exit code and stderr."""
    process = start(command)
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("train: ") and int(line.split()[1].split("/")[0]) >= after_steps:
            process.send_signal(number)
            break
    rest = process.communicate(timeout=60)[1]
    return process.returncode, "".join(lines) + rest


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_and_resumed_training_ends_bit_equal(number: signal.Signals, tmp_path: Path) -> None:
    people_dir = write_folder_pairs(tmp_path / "people", 16)
    (people_dir / "images" / "003.jpg").write_bytes(b"no image")
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--epochs", "30"]
    train += ["--checkpoint-every", "7", "--workspace"]
    whole = start([*train, str(tmp_path / "whole")])
    code, err = train_killed_by(number, [*train, str(tmp_path / "broken")], after_steps=20)
    assert code == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    assert "Traceback" not in err
    assert ("is saved; go on with --resume" in err) == (number == signal.SIGTERM)
    assert not (tmp_path / "broken" / "teachers").exists()
    resumed = start([*train, str(tmp_path / "broken"), "--resume", "--loader-workers", "1"])
    for process in (resumed, whole):
        err = process.communicate(timeout=120)[1]
        assert process.returncode == 0, err
    cards = [read_card(tmp_path / name / "teachers" / "human.safetensors", Kind.HUMAN) for name in ("broken", "whole")]
    assert cards[0].sha256 == cards[1].sha256
    assert cards[0].scores == cards[1].scores
    logs = [read_metrics(tmp_path / name / "runs" / "teacher-human") for name in ("broken", "whole")]
    assert [(row["step"], row["loss"]) for row in logs[0]] == [(row["step"], row["loss"]) for row in logs[1]]
    assert logs[0][-1]["step"] == 30 * 3
    faults = (tmp_path / "broken" / "runs" / "teacher-human" / "faults.jsonl").read_text().splitlines()
    assert len(faults) == 1


def test_a_run_is_neither_begun_twice_nor_taken_up_with_other_settings(
    people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--workspace", str(tmp_path)]
    assert run([*train, "--resume", "--epochs", "1"], capsys)[0] == 1
    card_options = ["--source", "my own pictures", "--license", "CC0"]
    assert run([*train, "--epochs", "1", *card_options], capsys)[0] == 0
    path = tmp_path / "teachers" / "human.safetensors"
    first = read_card(path, Kind.HUMAN)
    assert (first.source, first.license) == ("my own pictures", "CC0")
    assert (tmp_path / "runs" / "teacher-human" / "tensorboard").is_dir()

    code, _, err = run([*train, "--epochs", "2", "--run", "second"], capsys)
    assert code == 1
    assert "there is a human teacher already" in err
    assert "--replace" in err
    assert not (tmp_path / "runs" / "second").exists()
    code, _, err = run([*train, "--epochs", "1", "--replace"], capsys)
    assert code == 1
    assert "run teacher-human exists already" in err
    code, _, err = run([*train, "--epochs", "2", "--lr", "0.5", "--replace", "--resume"], capsys)
    assert code == 1
    assert "epochs is 2, was 1; learning_rate is 0.5, was 0.01" in err

    assert run([*train, "--epochs", "2", "--run", "second", "--replace"], capsys)[0] == 0
    assert read_card(path, Kind.HUMAN).sha256 != first.sha256
    assert load_teacher(tmp_path / "teachers" / "human.previous.safetensors", Kind.HUMAN)[1] == first
    # The same weights again: what was there before them stays.
    assert run([*train, "--epochs", "2", "--run", "second", "--resume", "--replace"], capsys)[0] == 0
    assert load_teacher(tmp_path / "teachers" / "human.previous.safetensors", Kind.HUMAN)[1] == first


def test_a_start_that_cannot_be_read_leaves_no_run_behind(
    people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, weights = tmp_path / "ws", tmp_path / "backbone.pth"
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--workspace", str(workspace)]
    train += ["--epochs", "1", "--init"]
    code, _, err = run([*train, str(tmp_path / "typo.pth")], capsys)
    assert code == 1
    assert "typo.pth: no such file" in err
    torch.save(build_network(Kind.SCENE, "resnet18", 365).state_dict(), weights)
    code, _, err = run([*train, str(weights), "--workers", "1"], capsys)
    assert code == 1
    assert "weights do not fit" in err
    torch.save(build_network(Kind.SCENE, "squeezenet1_1", 365).state_dict(), weights)
    assert run([*train, str(weights)], capsys)[0] == 0


def test_a_run_that_wrote_its_teacher_may_finish_the_scoring_and_replaces_no_other(
    people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--epochs", "1"]
    train += ["--workspace", str(tmp_path)]
    path = tmp_path / "teachers" / "human.safetensors"
    assert run(train, capsys)[0] == 0
    scored = read_card(path, Kind.HUMAN)
    write_card(replace(scored, evaluations=()), path)  # as if killed between writing and scoring
    assert run([*train, "--resume"], capsys)[0] == 0
    assert read_card(path, Kind.HUMAN).scores == scored.scores
    assert read_card(path, Kind.HUMAN).sha256 == scored.sha256
    assert not previous_path(path).exists()

    assert run([*train, "--run", "other", "--seed", "5", "--replace"], capsys)[0] == 0
    code, _, err = run([*train, "--resume"], capsys)
    assert code == 1
    assert "there is a human teacher already" in err


def test_a_teachers_run_takes_no_students_folder(
    people_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "runs" / "one" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("model = 'tsn'\n")
    train = ["teacher", "train", "human", "--data", str(people_dir), *TINY, "--epochs", "1", "--run", "one"]
    code, _, err = run([*train, "--workspace", str(tmp_path)], capsys)
    assert code == 1
    assert "a student's; name another --run" in err
    assert [path.name for path in config.parent.iterdir()] == ["config.toml"]
