"""One command trains and tests a run on each official split; what is done is not done again; the mean is by hand."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from manifests import VideoRecord, read_manifest, write_manifest
from manifests.errors import ManifestError
from student.scores import load_scores
from student.scoring import choose_evaluation_split
from tests.student.test_commands import call
from tests.student.workspaces import SMALL

VIEWS = ["--segments", "3", "--crops", "1"]


@pytest.fixture
def folded(workspace: Path) -> Path:
    """The workspace with a second fold: videos 0 and 1 are its test."""
    manifest = workspace / "manifests" / "boxes.csv"
    records = [
        replace(record, fold_splits=("test" if number < 2 else "train",))
        for number, record in enumerate(read_manifest(manifest))
    ]
    write_manifest(manifest, records)
    return workspace


def test_folds_are_trained_tested_and_taken_up_again(folded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train-student", "--workspace", folded, "--dataset", "boxes", *SMALL, *VIEWS, "--model", "tsn"]
    command += ["--set", "epochs=1", "--folds", "1,2", "--run", "b", "--json"]
    code, out, err = call(capsys, *command)
    assert code == 0, err
    report = json.loads(out)
    one, two = report["folds"]
    assert [(fold["fold"], fold["run"], fold["split"], fold["videos"]) for fold in (one, two)] == [
        (1, "b-fold1", "test", 2),
        (2, "b-fold2", "test", 2),
    ]
    assert report["top1"]["value"] == pytest.approx((one["top1"] + two["top1"]) / 2)
    assert report["mean_class"] == pytest.approx((one["mean_class"] + two["mean_class"]) / 2)
    assert json.loads((folded / "runs/b/folds-boxes-test-3x1-sliding-last.json").read_text()) == report
    described = (json.loads(Path(fold["scores"]).with_suffix(".json").read_text()) for fold in (one, two))
    assert [scores["fold"] for scores in described] == [1, 2]

    # One fold's test is lost: its run is tested again, and nothing is trained.
    checkpoints = {path: path.stat().st_mtime_ns for path in folded.glob("runs/b-fold*/checkpoints/*")}
    assert len(checkpoints) == 2
    (folded / "runs" / "b-fold2" / "test.json").unlink()
    before = Path(one["scores"]).stat().st_mtime_ns
    code, out, err = call(capsys, *command)
    assert code == 0, err
    assert json.loads(out) == report
    assert Path(one["scores"]).stat().st_mtime_ns == before
    assert checkpoints == {path: path.stat().st_mtime_ns for path in folded.glob("runs/b-fold*/checkpoints/*")}
    assert (folded / "runs" / "b-fold2" / "test.json").is_file()

    # A list of missing videos that knows the first fold alone.
    (folded / "manifests" / "boxes.missing.csv").write_text(
        "video_id,path,split,class_name,reason\ngone,/v/gone.mp4,train,right,missing\n"
    )
    code, out, err = call(
        capsys, "evaluate", "b", "--workspace", folded, "--dataset", "boxes", "--folds", "2,1", *VIEWS
    )
    assert code == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][:2] == ["fold", "split"]
    assert [line[-1] for line in lines[1:4]] == ["missing", "unknown", "0"]
    described = (json.loads(Path(fold["scores"]).with_suffix(".json").read_text()) for fold in (one, two))
    assert [(scores["missing"], scores["top1_lower"]) for scores in described] == [(0, one["top1"]), (None, None)]
    assert [load_scores(Path(fold["scores"])).missing_known for fold in (one, two)] == [True, False]
    assert [line[0] for line in lines[2:5]] == ["2", "1", "mean"]
    assert lines[4][1] == f"{100 * report['top1']['value']:.1f}"
    code, _, err = call(capsys, *command, "--set", "learning_rate=0.5")
    assert code == 1
    assert "run b-fold1 cannot go on with another configuration: learning_rate 0.003 -> 0.5" in " ".join(err.split())


def test_wrong_folds_are_told(folded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train-student", "--workspace", folded, "--dataset", "boxes", *SMALL, "--model", "tsn"]
    for code, text, more in (
        (2, "give one of the two", ["--folds", "1,2", "--fold", "1"]),
        (2, "each once, found 1,1", ["--folds", "1,1"]),
        (2, "without --resume", ["--folds", "1,2", "--resume", "--run", "b"]),
        (2, "numbers with commas between", ["--folds", "1;2"]),
        (1, "fold 3", ["--folds", "1,3"]),
        (2, "segments: expected at least 3, one window; found 2", ["--folds", "1,2", "--segments", "2"]),
        (1, "no video in split 'val'", ["--folds", "1,2", "--set", "validation_split=val"]),
        (2, "--max-missing is of the tests that --folds makes", ["--max-missing", "0.5"]),
    ):
        found, _, err = call(capsys, *command, *more)
        assert found == code, err
        assert text in " ".join(err.split())
    assert not (folded / "runs").exists()
    code, _, err = call(capsys, "evaluate", "b", "--workspace", folded, "--dataset", "boxes", "--folds", "1,2")
    assert code == 1
    assert "run b-fold1: not in" in err


def test_a_fold_that_is_not_there_is_answered_with_those_that_are() -> None:
    record = VideoRecord("v", Path("v.avi"), "test", 0, "run")
    with pytest.raises(ManifestError, match="data set boxes: no fold 2; it has one fold, --fold 1"):
        choose_evaluation_split([record], "boxes", 2)
    with pytest.raises(ManifestError, match="no fold 4; it has folds 1 to 3"):
        choose_evaluation_split([replace(record, fold_splits=("test", "train"))], "boxes", 4)


def test_what_is_wrong_with_a_later_fold_is_told_before_the_first_is_trained(
    folded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train-student", "--workspace", folded, "--dataset", "boxes", *SMALL, *VIEWS, "--model", "tsn"]
    several = [*command, "--folds", "1,2", "--run", "b"]

    def refuse(message: str) -> None:
        code, _, err = call(capsys, *several)
        assert code == 1 and message in " ".join(err.split()), err
        assert not (folded / "runs" / "b-fold1").exists()

    manifest = folded / "manifests" / "boxes.csv"
    whole = manifest.read_text()
    write_manifest(manifest, [replace(record, fold_splits=("train",)) for record in read_manifest(manifest)])
    refuse("fold 2: neither a val nor a test split to score on, only train")
    manifest.write_text(whole)
    absent = folded / "manifests" / "boxes.missing.csv"
    absent.write_text("video_id,path,split,reason\ngone,gone.mp4,test,missing\n")
    refuse("1 of 3 videos have no score ({'missing': 1}), more than the 5.0% allowed")
    absent.unlink()
    begun = [*SMALL, "--set", "epochs=1", "--set", "learning_rate=0.5", "--model", "tsn", "--fold", "2"]
    code, _, err = call(
        capsys, "train-student", "--workspace", folded, "--dataset", "boxes", *begun, "--run", "b-fold2"
    )
    assert code == 0, err
    refuse("run b-fold2 cannot go on with another configuration")


def test_a_kept_test_must_have_the_videos_that_are_asked_for_now(
    folded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = folded / "manifests" / "boxes.csv"
    manifest.write_text(manifest.read_text().replace("box0.mp4", "gone.mp4"))
    command = ["train-student", "--workspace", folded, "--dataset", "boxes", *SMALL, *VIEWS, "--model", "tsn"]
    command += ["--set", "epochs=1", "--folds", "2", "--run", "b"]
    for expected, more in ((0, ["--max-missing", "0.5"]), (1, []), (0, ["--max-missing", "0.5"])):
        code, _, err = call(capsys, *command, *more)
        assert code == expected, err
        assert ("1 of 2 videos have no score ({'missing': 1})" in " ".join(err.split())) == bool(expected)


def test_interrupted_folds_go_on_by_the_same_command(folded: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "train-student", "--workspace", str(folded), "--dataset", "boxes"]
    command += [*SMALL, *VIEWS, "--model", "tsn", "--set", "epochs=500", "--folds", "1,2", "--run", "b"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 120
        while not list(folded.glob("runs/b-fold1/checkpoints/step-*")) and run.poll() is None:
            if time.monotonic() > deadline:
                run.kill()
                pytest.fail("no checkpoint after 120 s")
            time.sleep(0.02)
        run.terminate()
        told = " ".join(run.communicate(timeout=120)[1].split())
    assert run.returncode == 143, told
    assert "b-fold1 was interrupted" in told and "give the same command again" in told and "--resume" not in told
