"""`ablate` for real, on small videos: every row is trained and scored once, and what is done is not done again."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import torchvision

from pipeline.cli import main
from student.ablation.report import HEADER
from student.parameters import count_parameters
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, load_student
from teachers.architectures import build_network, default_preprocessing
from teachers.cards import TeacherCard
from teachers.kinds import Kind
from teachers.storage import save_teacher

SMALL = ["--recipe", "small", "--loader-workers", "0", "--segments", "3", "--crops", "1"]
for change in ("input_size=48", "epochs=1", "batch_size=4", "micro_batch=4", "milestones=[]"):
    SMALL += ["--set", change]


def ablate(capsys: pytest.CaptureFixture[str], workspace: Path, *more: str) -> tuple[int, str, str]:
    """Run the command; return its exit code, stdout and stderr."""
    arguments = ["ablate", "--workspace", str(workspace), "--dataset", "boxes", "--backbone", "squeezenet1_1"]
    try:
        main([*arguments, *SMALL, *more])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_table_is_run_once_and_taken_up_again(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ablate(capsys, workspace, "--table", "3", "--seeds", "0,1", "--json")
    assert code == 0, err
    report = json.loads(out)
    tsn, kinet = report["rows"]
    assert (tsn["setting"], kinet["setting"]) == ("TSN-SqueezeNet 1.1", "KINet-SqueezeNet 1.1")
    assert tsn["num_runs"] == kinet["num_runs"] == 2
    assert 0 <= tsn["top1"]["low"] <= tsn["top1"]["value"] <= tsn["top1"]["high"] <= 1
    assert tsn["gain"] is None
    assert kinet["gain"]["value"] == pytest.approx(kinet["top1"]["value"] - tsn["top1"]["value"])
    folder = workspace / "runs" / "ablate-3-boxes-squeezenet1_1"
    assert json.loads((folder / "table.json").read_text()) == report
    with (folder / "table.csv").open() as stream:
        lines = list(csv.reader(stream))
    assert tuple(lines[0]) == HEADER and len(lines) == 3
    assert (folder / "table.md").read_text().count("\n| ") == 4

    # One run is broken off after its training, one is whole: only the first is done again.
    runs = sorted(path for path in folder.parent.iterdir() if path != folder)
    assert len(runs) == 4
    checkpoints = {run: sorted((run / "checkpoints").iterdir()) for run in runs}
    written = {run: max(path.stat().st_mtime_ns for path in checkpoints[run]) for run in runs}
    shutil.rmtree(runs[0] / "ablate-scores")
    (runs[0] / "ablate.json").unlink()
    again = ablate(capsys, workspace, "--table", "3", "--seeds", "0,1", "--json")
    assert again[0] == 0, again[2]
    assert json.loads(again[1]) == report
    assert written == {run: max(path.stat().st_mtime_ns for path in checkpoints[run]) for run in runs}
    assert (runs[0] / "ablate-scores").is_dir()

    weights = workspace / "a=b.pth"
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), weights)
    started = ablate(capsys, workspace, "--table", "3", "--init", f"squeezenet1_1={weights}")
    assert started[0] == 1
    assert f"init -> {weights}" in " ".join(started[2].split())
    other = ablate(capsys, workspace, "--table", "3", "--set", "learning_rate=0.5")
    assert other[0] == 1
    assert "learning_rate 0.003 -> 0.5" in other[2]
    manifest = workspace / "manifests" / "boxes.csv"
    manifest.write_text(manifest.read_text().replace("box3", "box3x"))
    changed = ablate(capsys, workspace, "--table", "3", "--seeds", "0,1")
    assert changed[0] == 1
    assert "videos 4 sha256:" in changed[2]


def test_initial_weights_are_looked_for_before_the_first_run(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ablate(capsys, workspace, "--table", "3", "--init", "squeezenet1_1=/nonexistent.pth")
    assert code == 1 and "--init /nonexistent.pth: no such file" in err
    code, _, err = ablate(capsys, workspace, "--table", "3", "--init", "/a=b/none.pth")
    assert code == 1 and "--init /a=b/none.pth: no such file" in err
    run_dir = workspace / "old"
    run_dir.mkdir()
    (run_dir / CONFIG_FILE).touch()
    code, _, err = ablate(capsys, workspace, "--table", "3", "--init", str(run_dir))
    assert code == 2 and f"--init {run_dir}: a run" in " ".join(err.split())
    assert not (workspace / "runs").exists()


def test_what_can_be_known_before_the_first_run_is_told_then(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = workspace / "foreign.pth"
    torch.save(torch.nn.Linear(1, 1).state_dict(), foreign)
    for arguments, code, message in (
        (["--table", "3", "--init", str(foreign)], 1, "not the ImageNet weights of this student's backbone"),
        (["--table", "4"], 1, f"{workspace}/teachers/human.safetensors"),
        (["--table", "3", "--folds", "1,2"], 1, "data set boxes: video box0: fold 2"),
        (
            ["--table", "3", "--set", "validation_split=val"],
            1,
            "no video in split 'val'; splits there are: test, train",
        ),
        (["--table", "3", "--set", "human_teacher=h"], 2, "--set human_teacher: no row of Table 3 takes notice of it"),
        (["--table", "3", "--set", "num_segments=4"], 2, "segments: expected at least 4, one window; found 3"),
    ):
        found = ablate(capsys, workspace, *arguments)
        assert found[0] == code, found
        assert message in " ".join(found[2].split())
    absent = workspace / "manifests" / "boxes.missing.csv"
    absent.write_text("video_id,path,split,reason\ngone,gone.mp4,test,missing\n")
    code, _, err = ablate(capsys, workspace, "--table", "3", "--max-missing", "0.3")
    assert code == 1 and "1 of 3 videos have no score ({'missing': 1}), more than the 30.0% allowed" in err
    shutil.rmtree(workspace / "shards")
    code, _, err = ablate(capsys, workspace, "--table", "3")
    assert code == 1 and "kinet-pipeline label" in " ".join(err.split())
    assert not (workspace / "runs").exists()


def test_a_run_that_fails_leaves_the_others_to_go_on(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A human loss without bounds blows KINet's gradients up; TSN has none."""
    arguments = ["--table", "3", "--seeds", "0,1", "--set", "human_weight=1e38"]
    code, out, err = ablate(capsys, workspace, *arguments, "--json")
    assert code == 1
    report = json.loads(out)
    tsn, kinet = report["rows"]
    assert (tsn["num_runs"], tsn["failures"], kinet["num_runs"]) == (2, {}, 0)
    run = "ablate-3-boxes-squeezenet1_1-kinet-squeezenet1_1-fold1-seed"
    assert list(kinet["failures"]) == [f"{run}0", f"{run}1"]
    assert all("gradient norm inf" in message for message in kinet["failures"].values())
    told = " ".join(err.split())
    assert f"2 of 4 runs failed: {run}0: step 1" in told
    _, out, _ = ablate(capsys, workspace, *arguments)
    assert "0/2" in out and "2/2" in out


def test_fixed_branches_keep_the_teachers_as_they_were(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table 4 for real: the student holds its teachers' very weights after training."""
    states = {}
    for kind, architecture in ((Kind.HUMAN, "pspnet_squeezenet1_1"), (Kind.SCENE, "squeezenet1_1")):
        classes = 2 if kind is Kind.HUMAN else 365
        network = build_network(kind, architecture, classes)
        card = TeacherCard(kind, architecture, classes, default_preprocessing(kind), "drawn for this test")
        save_teacher(network, card, workspace / "teachers" / f"{kind}.safetensors")
        states[kind] = network.state_dict()
    code, _, err = ablate(capsys, workspace, "--table", "4", "--json")
    assert code == 0, err
    run_dir = workspace / "runs" / "ablate-4-boxes-squeezenet1_1-fixed-fold1-seed0"
    config = read_run_config(run_dir / CONFIG_FILE)
    assert config.recipe.human_teacher == str(workspace / "teachers" / "human.safetensors")
    model, step = load_student(run_dir, config)
    assert step == 1
    kept = model.state_dict()
    human = states[Kind.HUMAN]
    for key, tensor in human.items():
        if key.startswith("body."):
            assert torch.equal(kept[key.replace("body.", "human.teacher.late.")], tensor)
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert trained < count_parameters(model)
    assert (run_dir / "ablate.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "1", "--seeds", "0,x"], "expected numbers with commas between, found '0,x'"),
        (["--table", "1", "--seeds", "0,0"], "seeds: expected one or more, each once, found 0, 0"),
        (["--table", "1", "--folds", "0"], "folds: expected numbers from 1 on"),
        (["--table", "3", "--init", "squeezenet11=x.pth"], "did you mean 'squeezenet1_1'?"),
        (["--table", "3", "--init", "resnet18=x.pth"], "no row has this backbone"),
        (["--table", "5"], "5 is not in the range"),
        (["--table", "1", "--set", "lerning_rate=1"], "did you mean learning_rate?"),
        (["--table", "1", "--set", "kinet.akg_relation=dot"], "row human (Baseline+human) of Table 1 sets it itself"),
        (["--table", "2", "--set", "backbone=resnet18"], "--set backbone: row tsn"),
        (["--table", "2", "--set", "seed=3"], "name the seeds by --seeds"),
    ],
)
def test_wrong_usage_is_code_2(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = ablate(capsys, workspace, *arguments)
    assert code == 2
    assert message in err


def test_only_a_dry_run_can_do_without_a_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["ablate", "--table", "1", "--workspace", str(tmp_path)])
    assert end.value.code == 2
    assert "Missing option '--dataset'" in capsys.readouterr().err
    main(["ablate", "--table", "3", "--backbone", "squeezenet1_1", "--dry-run", "--workspace", str(tmp_path)])
    assert "KINet-SqueezeNet 1.1" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())
