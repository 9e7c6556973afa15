"""A student that starts from another run holds its weights exactly, but for the classifier of other classes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from manifests import read_manifest, write_manifest
from pipeline.errors import CheckpointError, WorkspaceError
from pipeline.training.checkpoint import load_latest_checkpoint, save_best, save_checkpoint
from pipeline.training.runlog import read_metrics
from pipeline.workspace import Workspace
from student.build import Student, build_student
from student.fixed import FixedTeachers, split_human, split_scene
from student.normalisation import IMAGENET
from student.options import KINetOptions
from student.parameters import freeze_batchnorm_except_first
from student.recipes import RunConfig, TrainConfig
from student.runs import start_run
from student.transfer import SourceRun, find_source_run, load_initial_weights, load_run_weights, locate_init
from teachers.architectures import Kind, build_network
from tests.student.test_commands import call, train
from tests.student.workspaces import SMALL

OLD_CLASSES = ["climb", "swim", "wave"]
CLASSIFIER = {"action_classifier.weight", "action_classifier.bias"}


def make_student(recipe: TrainConfig, num_classes: int, seed: int, teacher_seed: int = 0) -> Student:
    teachers = None
    if recipe.model == "kinet-fixed":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(teacher_seed)
            human = build_network(Kind.HUMAN, "pspnet_squeezenet1_1", 2)
            scene = build_network(Kind.SCENE, "resnet18", 365)
        teachers = FixedTeachers(split_human(human, IMAGENET), split_scene(scene, IMAGENET))
    return build_student(
        model=recipe.model,
        backbone=recipe.backbone,
        num_classes=num_classes,
        options=recipe.kinet,
        teachers=teachers,
        seed=seed,
    )


def make_config(recipe: TrainConfig, num_classes: int, init: Path | str = "") -> RunConfig:
    return RunConfig(dataset="d", num_classes=num_classes, init=str(init), recipe=recipe)


def make_run(run_dir: Path, recipe: TrainConfig) -> Student:
    """Leave a run of three classes with a checkpoint; return its student."""
    model = make_student(recipe, len(OLD_CLASSES), seed=7)
    start_run(run_dir, make_config(recipe, len(OLD_CLASSES)), OLD_CLASSES)
    save_checkpoint({"step": 5, "model": model.state_dict()}, run_dir / "checkpoints", step=5)
    return model


@pytest.mark.parametrize(
    ("model", "backbone"), [("tsn", "resnet18"), ("kinet", "squeezenet1_1"), ("kinet-fixed", "squeezenet1_1")]
)
@pytest.mark.parametrize("names", [["box", "golf"], ["box", "golf", "run"]])
def test_all_but_the_classifier_is_the_other_runs(tmp_path: Path, model: str, backbone: str, names: list[str]) -> None:
    """Also where the number of classes happens to be the same."""
    recipe = TrainConfig(model=model, backbone=backbone)
    source = make_run(tmp_path / "old", recipe).state_dict()
    student = make_student(recipe, len(names), seed=1)
    fresh = {key: tensor.clone() for key, tensor in student.state_dict().items()}
    report = load_initial_weights(student, make_config(recipe, len(names), tmp_path / "old"), names)
    assert report is not None
    assert set(report.new) == set(report.unused) == CLASSIFIER
    assert set(report.loaded) | CLASSIFIER == set(fresh)
    assert report.source == "run old (d, step 5)"
    for key, tensor in student.state_dict().items():
        assert torch.equal(tensor, fresh[key] if key in CLASSIFIER else source[key]), key


def test_the_same_classes_keep_their_classifier(tmp_path: Path) -> None:
    recipe = TrainConfig(model="tsn", backbone="squeezenet1_1")
    source = make_run(tmp_path / "old", recipe).state_dict()
    student = make_student(recipe, 3, seed=1)
    report = load_run_weights(student, make_config(recipe, 3), OLD_CLASSES, SourceRun(tmp_path / "old"))
    assert report.new == report.unused == ()
    assert all(torch.equal(tensor, source[key]) for key, tensor in student.state_dict().items())


def test_a_students_run_takes_no_teachers_folder(tmp_path: Path) -> None:
    (tmp_path / "teacher.json").write_text("{}")
    with pytest.raises(WorkspaceError, match=r"a teacher's; name another --run"):
        start_run(tmp_path, make_config(TrainConfig(model="tsn"), len(OLD_CLASSES)), OLD_CLASSES)
    assert [path.name for path in tmp_path.iterdir()] == ["teacher.json"]


def test_a_run_is_named_by_its_folder_a_checkpoint_or_its_name(tmp_path: Path) -> None:
    recipe = TrainConfig(model="tsn", backbone="squeezenet1_1")
    run_dir = tmp_path / "runs" / "old"
    model = make_run(run_dir, recipe)
    with torch.no_grad():
        model.backbone.blocks[0].weight.zero_()  # type: ignore[union-attr, operator]
    best = save_best({"step": 3, "val_top1": 1.0, "model": model.state_dict()}, run_dir / "checkpoints")
    assert find_source_run(run_dir) == SourceRun(run_dir)
    assert find_source_run(best) == SourceRun(run_dir, best)
    assert find_source_run(tmp_path) is None
    for init in ("old", "runs/old"):
        assert locate_init(Workspace(tmp_path), Path(init)) == run_dir
    assert locate_init(Workspace(tmp_path), Path("imagenet.pth")) == Path("imagenet.pth").absolute()
    gone = run_dir.with_name("gone")
    for init in ("gone", "runs/gone"):
        assert locate_init(Workspace(tmp_path), Path(init), str(gone)) == gone
        assert locate_init(Workspace(tmp_path), Path(init), str(run_dir)) == Path(init).absolute()
    student = make_student(recipe, 2, seed=1)
    report = load_initial_weights(student, make_config(recipe, 2, best), ["a", "b"])
    assert report is not None
    assert report.source == "run old (d, step 3)"
    assert not student.state_dict()["backbone.blocks.0.weight"].any()


def test_another_student_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    kinet = TrainConfig(model="kinet", backbone="squeezenet1_1")
    make_run(tmp_path / "old", kinet)

    def refuse(recipe: TrainConfig, message: str) -> None:
        student = make_student(recipe, 2, seed=1)
        before = {key: tensor.clone() for key, tensor in student.state_dict().items()}
        with pytest.raises(CheckpointError, match=message):
            load_initial_weights(student, make_config(recipe, 2, tmp_path / "old"), ["a", "b"])
        assert all(torch.equal(tensor, before[key]) for key, tensor in student.state_dict().items())

    refuse(replace(kinet, backbone="resnet18"), "backbone squeezenet1_1.* backbone resnet18; give --backbone squeezen")
    refuse(replace(kinet, model="tsn"), "give --model kinet")
    without_graph = replace(kinet, kinet=KINetOptions(akg_relation="none"))
    refuse(without_graph, r"left over 1 \(akg.weight.weight\).*kinet.akg_relation=dot there, none here")
    with pytest.raises(CheckpointError, match="a folder, but no run's"):
        load_initial_weights(make_student(kinet, 2, 1), make_config(kinet, 2, tmp_path), ["a", "b"])


def test_other_fixed_teachers_are_refused(tmp_path: Path) -> None:
    recipe = TrainConfig(model="kinet-fixed", backbone="squeezenet1_1", human_teacher="h.safetensors")
    make_run(tmp_path / "old", recipe)
    student = make_student(recipe, 2, seed=1, teacher_seed=1)
    with pytest.raises(CheckpointError, match=r"--set human_teacher=h\.safetensors"):
        load_initial_weights(student, make_config(recipe, 2, tmp_path / "old"), ["a", "b"])


def test_readings_that_change_no_tensor_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = TrainConfig(model="kinet", backbone="squeezenet1_1")
    make_run(tmp_path / "old", recipe)
    scaled = replace(recipe, kinet=KINetOptions(akg_scaled=True))
    load_initial_weights(make_student(scaled, 2, 1), make_config(scaled, 2, tmp_path / "old"), ["a", "b"])
    assert "kinet.akg_scaled=False there, True here" in caplog.text


def test_imagenet_weights_are_reported_by_the_students_keys(tmp_path: Path) -> None:
    recipe = TrainConfig(model="kinet", backbone="resnet18")
    student = make_student(recipe, 2, seed=1)
    weights = build_student(model="tsn", backbone="resnet18", num_classes=2, seed=3)
    torch.save(dict(weights.backbone.source_tensors()), tmp_path / "resnet18.pth")  # type: ignore[union-attr, operator]
    report = load_initial_weights(student, make_config(recipe, 2, tmp_path / "resnet18.pth"), ["a", "b"])
    assert report is not None
    assert {"trunk.blocks.0.weight", "scene_branch.blocks.1.conv1.weight"} <= set(report.loaded)
    assert CLASSIFIER | {"akg.weight.weight", "cbi.0.reduce.weight"} <= set(report.new)
    assert sorted(report.loaded + report.new) == sorted(student.state_dict())


def test_a_transferred_student_trains_no_batchnorm_but_the_first() -> None:
    """From ImageNet those of CBI and of the decoder are new and learn; another run has trained them."""
    student = build_student(model="kinet", backbone="resnet18", num_classes=2)
    freeze_batchnorm_except_first(student, transferred=True)
    norms = {name: module for name, module in student.named_modules() if isinstance(module, nn.BatchNorm2d)}
    learning = [name for name, module in student.train().named_modules() if name in norms and module.training]
    assert learning == ["trunk.blocks.1"]
    assert [name for name, module in norms.items() if module.weight.requires_grad] == learning
    assert {"cbi.0.human_norm", "human_decoder.norm"} <= norms.keys()


@pytest.fixture
def other_classes(workspace: Path) -> Path:
    """The workspace with a second data set, `others`: the same videos under other classes, without labels."""
    names = ("climb", "swim", "wave")
    records = [
        replace(record, label=number % 3, class_name=names[number % 3])
        for number, record in enumerate(read_manifest(workspace / "manifests" / "boxes.csv"))
    ]
    write_manifest(workspace / "manifests" / "others.csv", records)
    return workspace


def test_a_run_transfers_to_a_data_set_without_labels(
    other_classes: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The auxiliary losses are off and it is said; the run can be resumed when its source is gone."""
    workspace = other_classes
    code, _, err = train(capsys, workspace, *SMALL, "--set", "epochs=1", "--run", "first")
    assert code == 0, err
    arguments = ["train-student", "--workspace", workspace, "--dataset", "others", *SMALL, "--run", "second"]
    arguments += ["--set", "diagnose_every=1", "--set", "freeze_batchnorm=true", "--json"]
    code, _, err = call(capsys, *arguments)
    assert code == 1
    assert "from another run by --init RUN_DIR" in err
    code, out, err = call(capsys, *arguments, "--init", "runs/first")
    assert code == 0, err
    assert json.loads(out)["steps"] == 4
    assert "data set others has no labels" in caplog.text
    run_dir = workspace / "runs" / "second"
    start = json.loads((run_dir / "start.json").read_text())
    assert set(start["new"]) == CLASSIFIER
    assert f"start: {len(start['loaded'])} tensors from run first (boxes, step 2); new: 2 (" in err
    assert [(row["loss_human"], row["loss_scene"]) for row in read_metrics(run_dir)] == [(0.0, 0.0)] * 4
    first, second = (load_latest_checkpoint(workspace / "runs" / run / "checkpoints") for run in ("first", "second"))
    assert first is not None and second is not None
    assert second["model"]["action_classifier.weight"].shape[0] == 3
    norm = "cbi.0.human_norm.running_mean"
    assert torch.equal(first["model"][norm], second["model"][norm])
    shutil.rmtree(workspace / "runs" / "first")
    again = ["--dataset", "others", "--run", "second", "--resume", "--loader-workers", "0"]
    for more in ([], ["--init", "runs/first"]):
        code, _, err = call(capsys, "train-student", "--workspace", workspace, *again, *more)
        assert code == 0, err
    code, out, err = call(
        capsys, "evaluate", "second", "--dataset", "others", "--workspace", workspace, "--segments", "3",
        "--crops", "1", "--loader-workers", "0", "--json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["videos"] == 2


def test_a_run_transfers_to_a_labelled_data_set(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [*SMALL, "--set", "epochs=1"]
    assert train(capsys, workspace, *small, "--run", "first")[0] == 0
    code, _, err = train(capsys, workspace, *small, "--run", "second", "--init", str(workspace / "runs" / "first"))
    assert code == 0, err
    assert "new: none" in err
    rows = read_metrics(workspace / "runs" / "second")
    assert all(row["loss_human"] > 0 and row["loss_scene"] > 0 for row in rows)


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_ray_worker_starts_from_the_other_run_too(other_classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same weights as in this process, bit by bit, from a source without labels on the new data set."""
    assert train(capsys, other_classes, *SMALL, "--set", "epochs=1", "--run", "first")[0] == 0
    for run, more in (("here", ()), ("there", ("--workers", "1"))):
        code, _, err = call(
            capsys, "train-student", "--workspace", other_classes, "--dataset", "others", *SMALL, "--init",
            "runs/first", "--set", "freeze_batchnorm=true", "--set", "checkpoint_every=1", "--run", run, *more,
        )  # fmt: skip
        assert code == 0, err
    here, there = (load_latest_checkpoint(other_classes / "runs" / run / "checkpoints") for run in ("here", "there"))
    assert here is not None and there is not None
    assert here["step"] == there["step"] == 4
    assert all(torch.equal(weight, there["model"][key]) for key, weight in here["model"].items())
