"""A run can be stopped anywhere and taken up again; what goes wrong is said."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.errors import CheckpointError, InterruptedRun
from pipeline.training.checkpoint import BEST_NAME, list_checkpoints, load_checkpoint, load_latest_checkpoint
from pipeline.training.faults import FAULTS_FILE
from pipeline.training.runlog import read_metrics
from pipeline.training.state import CHECKPOINT_DIR
from student.build import build_student
from student.clips import ClipReader
from student.dataset import TrainDataset
from student.recipes import TrainConfig
from student.stepping import TrainingError
from student.train import TrainSummary, train_loop
from student.transforms import MultiScaleCrop

CPU = torch.device("cpu")
CONFIG = TrainConfig(
    model="kinet",
    backbone="squeezenet1_1",
    input_size=48,
    epochs=2,
    batch_size=3,
    micro_batch=2,
    milestones=(1,),
    log_every=1,
    learning_rate=0.002,
    checkpoint_every=1,
    human_weight=0.5,
    scene_weight=0.1,
)


class KilledError(Exception):
    """Ends a run in the middle, as a crash would."""


def train(boxes, run_dir: Path, config: TrainConfig = CONFIG, **arguments) -> TrainSummary:  # type: ignore[no-untyped-def]
    model = build_student(model=config.model, backbone=config.backbone, num_classes=2, seed=config.seed)
    dataset = TrainDataset(
        boxes.records,
        reader=ClipReader(boxes.labels, cache_bytes=10**8),
        num_segments=3,
        crop=MultiScaleCrop(config.input_size),
        seed=config.seed,
    )
    return train_loop(config, model, dataset, run_dir=run_dir, device=CPU, **arguments)


def equal(one, other) -> bool:  # type: ignore[no-untyped-def]
    """Compare two nested states bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(equal(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.fixture(scope="module")
def unbroken(boxes, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    run_dir = tmp_path_factory.mktemp("unbroken")
    summary = train(boxes, run_dir)
    assert (summary.steps, summary.epochs, summary.faults) == (4, 2, {})
    return run_dir


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_killed_and_resumed_run_ends_bit_equal(boxes, unbroken: Path, tmp_path: Path, killed_after: int) -> None:  # type: ignore[no-untyped-def]
    def kill(step: int) -> None:
        if step == killed_after:
            raise KilledError

    config = replace(CONFIG, checkpoint_every=2)  # so that a kill also loses a step that was done
    with pytest.raises(KilledError):
        train(boxes, tmp_path, config, after_step=kill)
    train(boxes, tmp_path, config, resume=True, loader_workers=1)
    found, expected = (load_latest_checkpoint(folder / CHECKPOINT_DIR) for folder in (tmp_path, unbroken))
    assert equal(found, expected)
    timeless = [
        [
            {key: value for key, value in row.items() if key not in ("frames_per_sec", "data_wait_share")}
            for row in read_metrics(folder)
        ]
        for folder in (tmp_path, unbroken)
    ]
    assert timeless[0] == timeless[1]
    assert [row["step"] for row in timeless[0]] == [1, 2, 3, 4]


def test_the_schedule_and_the_losses_are_logged(unbroken: Path) -> None:
    rows = read_metrics(unbroken)
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.002, 0.002, 0.0002, 0.0002])
    for row in rows:
        total = row["loss_action"] + 0.5 * row["loss_human"] + 0.1 * row["loss_scene"]
        assert row["loss"] == pytest.approx(total, rel=1e-5)
        assert row["labelled_share"] == 1.0
    assert list((unbroken / "tensorboard").iterdir())


def test_a_diagnosis_stands_in_its_lines_and_changes_nothing(boxes, unbroken: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    train(boxes, tmp_path, replace(CONFIG, diagnose_every=2))
    rows = read_metrics(tmp_path)
    assert ["akg_edge_entropy" in row for row in rows] == [False, True, False, True]
    assert {"mask_iou", "scene_top1", "trunk_gradient_action", "data_wait_share"} <= rows[1].keys()
    assert 0 < rows[1]["akg_edge_entropy"] < 2.2
    found, expected = (load_latest_checkpoint(folder / CHECKPOINT_DIR) for folder in (tmp_path, unbroken))
    assert equal(found, expected)


def test_the_best_checkpoint_is_the_first_with_the_highest_validation(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Validation that says .25, .5, .5, after a kill too."""
    config = replace(CONFIG, epochs=3, milestones=(), validation_split="val", model="tsn")
    figures = {2: 0.25, 4: 0.5, 6: 0.5}
    steps: list[int] = []

    def validate(model) -> dict[str, float]:  # type: ignore[no-untyped-def]
        model.eval()
        return {"val_top1": figures[steps[-1] + 1 if steps else 1]}

    def note(step: int) -> None:
        steps.append(step)
        if steps == [1, 2, 3, 4]:
            raise KilledError

    with pytest.raises(KilledError):
        train(boxes, tmp_path, config, validate=validate, after_step=note)
    summary = train(boxes, tmp_path, config, validate=validate, after_step=note, resume=True)
    assert summary.best == {"step": 4, "val_top1": 0.5}
    best = load_checkpoint(tmp_path / CHECKPOINT_DIR / BEST_NAME)
    assert best["step"] == 4
    assert not torch.equal(
        best["model"]["action_classifier.weight"],
        load_latest_checkpoint(tmp_path / CHECKPOINT_DIR)["model"]["action_classifier.weight"],
    )
    assert [row.get("val_top1") for row in read_metrics(tmp_path)] == [None, 0.25, None, 0.5, None, 0.5]


def test_checkpoints_hold_plain_data_and_the_last_two_stay(unbroken: Path) -> None:
    kept = list_checkpoints(unbroken / CHECKPOINT_DIR)
    assert [path.name for path in kept] == ["step-00000003.pt", "step-00000004.pt"]
    assert torch.load(kept[-1], weights_only=True)["step"] == 4


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends_the_run(boxes, tmp_path: Path, number: int, exit_code: int) -> None:  # type: ignore[no-untyped-def]
    before = signal.getsignal(number)

    def signal_self(step: int) -> None:
        if step == 1:
            os.kill(os.getpid(), number)

    config = replace(CONFIG, checkpoint_every=0, model="tsn")
    with pytest.raises(InterruptedRun, match="step 2 of 4 is saved; go on with --resume") as caught:
        train(boxes, tmp_path, config, after_step=signal_self, loader_workers=1)
    assert caught.value.exit_code == exit_code
    assert [path.name for path in list_checkpoints(tmp_path / CHECKPOINT_DIR)] == ["step-00000002.pt"]
    assert signal.getsignal(number) == before


def test_a_loss_that_is_no_number_ends_the_run(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TrainingError, match=r"loss (nan|inf).*learning_rate"):
        train(boxes, tmp_path, replace(CONFIG, model="tsn", learning_rate=1e30, clip_norm=0.0, epochs=9, milestones=()))


def test_a_full_device_ends_the_run_with_a_way_out(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    model = build_student(model="tsn", backbone="squeezenet1_1", num_classes=2, seed=0)

    def fill(_module: torch.nn.Module, _inputs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    model.register_forward_pre_hook(fill)
    dataset = TrainDataset(
        boxes.records, reader=ClipReader(None), num_segments=3, crop=MultiScaleCrop(CONFIG.input_size), seed=0
    )
    expected = r"step 1: cpu .* of 2 videos \(CUDA out of memory\. Tried to allocate 2\.00 GiB\.\); .*micro_batch"
    with pytest.raises(TrainingError, match=expected):
        train_loop(replace(CONFIG, model="tsn"), model, dataset, run_dir=tmp_path, device=CPU)


def test_unreadable_and_mismatched_are_counted_once_over_the_runs_parts(mislabelled_boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gone = replace(mislabelled_boxes.records[1], path=tmp_path / "gone.mp4")
    broken = replace(mislabelled_boxes, records=[mislabelled_boxes.records[0], gone, mislabelled_boxes.records[2]])
    config = replace(CONFIG, epochs=3)
    with pytest.raises(KilledError):
        train(broken, tmp_path, config, after_step=lambda step: (_ for _ in ()).throw(KilledError))
    summary = train(broken, tmp_path, config, resume=True)
    assert summary.faults["missing"] == 1
    lines = [json.loads(line) for line in (tmp_path / FAULTS_FILE).read_text().splitlines()]
    assert len({(line["name"], line["kind"]) for line in lines}) == len(lines)
    assert summary.faults["frame_mismatch"] == len(lines) - 1
    assert all(row["labelled_share"] == 0.0 for row in read_metrics(tmp_path))
    assert all(row["loss_human"] == 0.0 and row["videos"] == 2 for row in read_metrics(tmp_path))


def test_nothing_readable_is_an_error(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gone = [replace(record, path=tmp_path / "gone.mp4") for record in boxes.records]
    with pytest.raises(TrainingError, match="not one video of a whole epoch"):
        train(replace(boxes, records=gone), tmp_path, CONFIG)


def test_resuming_with_another_student_is_refused(boxes, unbroken: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CheckpointError, match="is of another model"):
        train(boxes, unbroken, replace(CONFIG, model="tsn"), resume=True)


def test_frozen_batchnorm_keeps_its_statistics(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fresh = build_student(model="tsn", backbone="resnet18", num_classes=2, seed=0).state_dict()
    train(
        boxes,
        tmp_path,
        replace(CONFIG, model="tsn", backbone="resnet18", freeze_batchnorm=True, epochs=1, milestones=()),
    )
    state = load_latest_checkpoint(tmp_path / CHECKPOINT_DIR)
    assert state is not None
    changed = {key for key in fresh if "running_mean" in key and not torch.equal(fresh[key], state["model"][key])}
    assert len(changed) == 1


def test_training_leaves_the_global_generator_alone(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = torch.get_rng_state()
    train(boxes, tmp_path, replace(CONFIG, model="tsn", epochs=1, milestones=()))
    assert torch.equal(before, torch.get_rng_state())


def test_the_student_learns_the_boxes(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    config = replace(CONFIG, epochs=15, batch_size=6, micro_batch=6, milestones=(), checkpoint_every=0, dropout=0.0)
    train(boxes, tmp_path, replace(config, learning_rate=0.004, human_weight=1.0, scene_weight=1.0))
    rows = read_metrics(tmp_path)
    assert rows[-1]["loss_human"] < 0.7 * rows[0]["loss_human"]
    assert rows[-1]["loss_scene"] < 0.8 * rows[0]["loss_scene"]
