"""`train-student` and `evaluate` as a user calls them: outcome, exit codes, and one clear line for each fault."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from pipeline.cli import main
from pipeline.training.checkpoint import list_checkpoints, load_latest_checkpoint
from tests.student.workspaces import SMALL


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command line; return its exit code, stdout and stderr."""
    try:
        main([str(argument) for argument in arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def train(capsys: pytest.CaptureFixture[str], workspace: Path, *more: str) -> tuple[int, str, str]:
    return call(capsys, "train-student", "--workspace", workspace, "--dataset", "boxes", *more)


def test_train_then_evaluate(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = train(capsys, workspace, *SMALL, "--run", "r", "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["steps"], summary["faults"]) == (4, {})
    arguments = ["evaluate", "r", "--dataset", "boxes", "--workspace", workspace, "--loader-workers", "0", "--json"]
    code, out, err = call(capsys, *arguments, "--segments", "4", "--crops", "3")
    assert code == 0, err
    result = json.loads(out)
    assert {"top1", "top5", "mean_class", "videos", "missing"} <= result.keys()
    assert (result["split"], result["videos"], result["missing"], result["top5"]) == ("test", 2, 0, 1.0)
    assert Path(result["scores"]).is_file()
    code, out, _ = call(capsys, *arguments[:-1], "--segments", "4", "--crops", "1", "--split", "train")
    assert code == 0
    assert "top-1" in out
    assert "4 videos, none missing" in out
    assert "calibration error" in out and "lies between" not in out
    again = train(capsys, workspace, *SMALL, "--run", "r")
    assert again[0] == 1
    assert "run r exists already" in again[2]
    assert "--resume" in again[2]
    other = train(capsys, workspace, "--run", "r", "--resume", "--set", "learning_rate=0.5")
    assert other[0] == 1
    assert "learning_rate 0.003 -> 0.5" in other[2]
    metrics = (workspace / "runs" / "r" / "metrics.jsonl").read_text()
    finished = train(capsys, workspace, "--run", "r", "--resume", "--loader-workers", "0", "--json")
    assert finished[0] == 0, finished[2]
    assert json.loads(finished[1], parse_constant=pytest.fail)["loss"] is None
    assert (workspace / "runs" / "r" / "metrics.jsonl").read_text() == metrics


def test_videos_that_crashed_stage_one_are_not_decoded_again(
    workspace: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Their files are gone here, so that decoding them would give another reason."""
    receipt_path = next((workspace / "shards" / "boxes").glob("train*.json"))
    receipt = json.loads(receipt_path.read_text())
    for outcome, reason in zip((receipt["outcomes"][1], receipt["outcomes"][4]), ("crashed", "timeout"), strict=True):
        outcome.update(outcome="quarantined", reason=reason, message="it did", frames=0)
    receipt_path.write_text(json.dumps(receipt))
    manifest = workspace / "manifests" / "boxes.csv"
    manifest.write_text(manifest.read_text().replace("box1.mp4", "gone.mp4").replace("box4.mp4", "gone.mp4"))
    code, out, err = train(capsys, workspace, *SMALL, "--run", "r", "--json")
    assert code == 0, err
    assert json.loads(out)["faults"] == {"crashed": 1}
    assert "1 of 4 videos are left out: quarantined (1 crashed)" in caplog.text
    arguments = ["--dataset", "boxes", "--workspace", workspace, "--loader-workers", "0", "--segments", "3", "--json"]
    code, out, err = call(capsys, "evaluate", "r", *arguments, "--crops", "1", "--max-missing", "0.5")
    assert code == 0, err
    result = json.loads(out)
    assert (result["videos"], result["missing"], result["missing_reasons"]) == (1, 1, {"timeout": 1})


def test_a_value_error_that_is_no_wrong_option_keeps_its_traceback(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("a fault of the program")

    monkeypatch.setattr("student.planning.list_class_names", broken)
    with pytest.raises(ValueError, match="a fault of the program"):
        train(capsys, workspace, *SMALL)


def test_a_run_that_validates_keeps_its_best(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--run", "r", "--model", "tsn", "--set", "validation_split=test", "--json"]
    code, out, err = train(capsys, workspace, *SMALL, *more)
    assert code == 0, err
    best = json.loads(out)["best"]
    arguments = ["--dataset", "boxes", "--workspace", workspace, "--loader-workers", "0", "--segments", "3", "--json"]
    code, out, err = call(capsys, "evaluate", "r", *arguments, "--crops", "1", "--checkpoint", "best")
    assert code == 0, err
    result = json.loads(out)
    assert (result["step"], result["top1"]) == (best["step"], best["val_top1"])
    code, out, err = call(capsys, "evaluate", "r", *arguments, "--crops", "1")
    assert code == 0, err
    assert json.loads(out)["scores"] != result["scores"]
    assert result["calibration_error"] <= 1
    assert Path(result["confusion_csv"]).is_file()


def test_too_many_missing_videos_are_a_fault_and_the_scores_are_kept(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(capsys, workspace, *SMALL, "--run", "r", "--model", "tsn", "--set", "epochs=1")
    manifest = workspace / "manifests" / "boxes.csv"
    manifest.write_text(manifest.read_text().replace("box4.mp4", "gone.mp4"))
    arguments = ["evaluate", "r", "--dataset", "boxes", "--workspace", workspace, "--loader-workers", "0"]
    code, _, err = call(capsys, *arguments, "--segments", "3", "--crops", "1")
    assert code == 1
    assert "1 of 2 videos have no score ({'missing': 1}), more than the 5.0% allowed" in err
    assert list((workspace / "runs" / "r" / "scores").glob("*.npz"))


def test_videos_that_the_copy_lacks_count_as_missing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two absent videos of the split bound its figures; a second copy and another split's video do not."""
    train(capsys, workspace, *SMALL, "--run", "r", "--model", "tsn", "--set", "epochs=1")
    (workspace / "manifests" / "boxes.missing.csv").write_text(
        "video_id,path,split,class_name,reason\n"
        "gone,/v/gone.mp4,test,right,missing\nhollow,/v/hollow.mp4,test,down,empty_file\n"
        "twice,/v/twice.mp4,test,down,duplicate\nother,/v/other.mp4,train,down,missing\n"
    )
    arguments = ["evaluate", "r", "--dataset", "boxes", "--workspace", workspace, "--loader-workers", "0", "--json"]
    arguments += ["--segments", "3", "--crops", "1"]
    code, _, err = call(capsys, *arguments)
    assert code == 1
    assert "2 of 4 videos have no score ({'missing': 1, 'empty_file': 1})" in err
    shown = call(capsys, *(part for part in arguments if part != "--json"), "--max-missing", "0.5")[1]
    assert "2 videos, 2 missing {'missing': 1, 'empty_file': 1}" in shown
    low, high = re.findall(r"lies between ([\d.]+)% .* and ([\d.]+)%", shown)[0]
    assert float(high) - float(low) == 50
    code, out, err = call(capsys, *arguments, "--max-missing", "0.5")
    assert code == 0, err
    result = json.loads(out)
    assert (result["videos"], result["missing"]) == (2, 2)
    assert (result["top1_lower"], result["top1_upper"]) == (result["top1"] / 2, result["top1"] / 2 + 0.5)
    described = json.loads(Path(result["scores"]).with_suffix(".json").read_text())
    assert [video["video_id"] for video in described["missing_videos"]] == ["gone", "hollow"]
    (workspace / "manifests" / "boxes.missing.csv").write_text("video\nx\n")
    code, _, err = call(capsys, *arguments)
    assert code == 1 and "boxes.missing.csv: not a list of missing videos" in err


def test_a_resumed_run_needs_no_initial_weights(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*SMALL, "--model", "tsn", "--set", "epochs=1"]
    assert train(capsys, workspace, *small, "--run", "first")[0] == 0
    first = workspace / "runs" / "first"
    assert train(capsys, workspace, *small, "--run", "second", "--init", str(first))[0] == 0
    shutil.rmtree(first)
    code, _, err = train(capsys, workspace, "--run", "second", "--resume", "--loader-workers", "0")
    assert code == 0, err


def test_each_fault_is_one_clear_line(workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fault(code: int, text: str, *more: str) -> None:
        found, _, err = train(capsys, workspace, *more)
        assert found == code, err
        assert text in " ".join(err.split())
        assert "Traceback" not in err

    fault(2, "did you mean learning_rate", "--set", "learning_rat=1")
    fault(2, "did you mean 'kinet'", "--model", "kinnet")
    fault(2, "backbone: expected one of", "--backbone", "resnet101")
    fault(2, "--run", "--resume")
    for option in ("--run", "--split", "--dataset"):
        for name in ("../up", "a/b", "..", "", "-x"):
            fault(2, "expected letters, digits", f"{option}={name}")
    fault(1, "did you mean kinetics400", "--recipe", "kinetics4000")
    fault(1, "splits there are: test, train", "--split", "val")
    fault(1, "fold 2", "--fold", "2")
    fault(1, "run none: not in", "--run", "none", "--resume")
    fault(1, "no such file", *SMALL, "--init", str(tmp_path / "none.pth"))
    assert not (workspace / "runs").exists()
    shutil.rmtree(workspace / "shards")
    fault(1, "run kinet-pipeline label --dataset boxes first", *SMALL)
    code, _, err = call(capsys, "train-student", "--workspace", workspace, "--dataset", "boxs", *SMALL)
    assert code == 1
    assert "boxes" in err
    code, _, err = call(capsys, "evaluate", "none", "--workspace", workspace, "--dataset", "boxes")
    assert code == 1
    assert "run none" in err


def test_tsn_needs_no_labels_and_transfers_its_weights(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(workspace / "shards")
    small = [*SMALL, "--model", "tsn", "--set", "epochs=1"]
    code, out, err = train(capsys, workspace, *small)
    assert code == 0, err
    first = workspace / "runs" / "boxes-tsn-squeezenet1_1"
    assert str(first) in out
    frozen = ["--set", "learning_rate=1e-30", "--set", "weight_decay=0"]
    code, _, err = train(capsys, workspace, *small, *frozen, "--run", "second", "--init", str(first))
    assert code == 0, err
    before, after = (load_latest_checkpoint(run / "checkpoints") for run in (first, workspace / "runs" / "second"))
    assert before is not None
    assert after is not None
    for key, weight in before["model"].items():
        torch.testing.assert_close(weight, after["model"][key], rtol=0, atol=1e-20)


@pytest.mark.slow
def test_killed_for_real_and_resumed_it_ends_as_an_unbroken_run(workspace: Path, boxes) -> None:  # type: ignore[no-untyped-def]
    """SIGKILL at whatever moment the first checkpoint is there, then SIGTERM, then to the end."""
    command = [
        sys.executable,
        "-m",
        "pipeline.cli",
        "train-student",
        "--workspace",
        str(workspace),
        "--dataset",
        "boxes",
    ]
    long = [*SMALL, "--set", "epochs=10", "--set", "checkpoint_every=1", "--loader-workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(*more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, *more], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def stop_after_progress(process: subprocess.Popen[bytes], number: int) -> int:
        folder = workspace / "runs" / "killed" / "checkpoints"
        before = list_checkpoints(folder)[-1:]
        deadline = time.monotonic() + 120
        while list_checkpoints(folder)[-1:] == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(timeout=60)

    whole = start(*long, "--run", "whole")
    assert stop_after_progress(start(*long, "--run", "killed"), signal.SIGKILL) == -signal.SIGKILL
    assert stop_after_progress(start("--run", "killed", "--resume"), signal.SIGTERM) == 143
    assert start("--run", "killed", "--resume").wait(timeout=120) == 0
    assert whole.wait(timeout=120) == 0
    one, other = (load_latest_checkpoint(workspace / "runs" / run / "checkpoints") for run in ("whole", "killed"))
    assert one is not None
    assert other is not None
    assert one["step"] == other["step"] == 20
    for key, weight in one["model"].items():
        assert torch.equal(weight, other["model"][key]), key
