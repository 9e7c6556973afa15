"""Several processes train as one: the same steps, the same weights, and a killed worker costs only time."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from pipeline.training.checkpoint import list_checkpoints, load_latest_checkpoint
from pipeline.training.runlog import read_metrics
from pipeline.training.state import CHECKPOINT_DIR
from pipeline.training.world import ALONE, World
from student.build import build_student
from student.clips import ClipReader
from student.dataset import TrainDataset
from student.kinet import KINet
from student.loading import StepPlan
from student.options import KINetOptions
from student.recipes import TrainConfig
from student.train import train_loop
from student.transforms import MultiScaleCrop
from tests.processes import descendants, title
from tests.student.workspaces import SMALL

# Without dropout and BatchNorm nothing depends on which rank sees a video.
CONFIG = TrainConfig(
    model="tsn",
    backbone="squeezenet1_1",
    input_size=48,
    epochs=2,
    batch_size=5,
    micro_batch=2,
    milestones=(),
    learning_rate=0.002,
    dropout=0.0,
    log_every=1,
)


@pytest.mark.parametrize(("batch_size", "size"), [(5, 2), (6, 4), (3, 4), (1, 2)])
def test_ranks_share_each_step_without_overlap(batch_size: int, size: int) -> None:
    alone = StepPlan(num_videos=13, batch_size=batch_size, micro_batch=2, epochs=2, seed=1)
    plans = [replace(alone, world=World(rank, size)) for rank in range(size)]
    for step in range(alone.total_steps):
        expected = [key for batch in alone.micro_batches(step) for key in batch]
        shares = [[key for batch in plan.micro_batches(step) for key in batch] for plan in plans]
        assert sorted(key for share in shares for key in share) == sorted(expected)
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
        assert all(len(plan.micro_batches(step)) == plan.step_micro_batches for plan in plans)


def train(  # type: ignore[no-untyped-def]
    records, run_dir: Path, world: World, config: TrainConfig = CONFIG, *, resume: bool = False, labels=None
) -> None:
    model = build_student(
        model=config.model,
        backbone=config.backbone,
        num_classes=2,
        dropout=config.dropout,
        options=config.kinet,
        seed=0,
    )
    if isinstance(model, KINet):
        assert model.human_decoder is not None
        model.human_decoder.norm = nn.Identity()  # type: ignore[assignment]
    dataset = TrainDataset(
        records, reader=ClipReader(labels), num_segments=3, crop=MultiScaleCrop(config.input_size), seed=0
    )
    train_loop(config, model, dataset, run_dir=run_dir, device=torch.device("cpu"), world=world, resume=resume)


def train_rank(  # type: ignore[no-untyped-def]
    rank: int, records, run_dir: Path, size: int, config: TrainConfig, meet: Path, resume: bool, labels
) -> None:
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=size)
    train(records, run_dir, World(rank, size), config, resume=resume, labels=labels)
    dist.destroy_process_group()


def spawn(  # type: ignore[no-untyped-def]
    records, run_dir: Path, meet: Path, config: TrainConfig = CONFIG, *, resume: bool = False, labels=None
) -> None:
    mp.spawn(train_rank, (records, run_dir, 2, config, meet, resume, labels), nprocs=2)


def final_state(run_dir: Path) -> dict:  # type: ignore[type-arg]
    state = load_latest_checkpoint(run_dir / CHECKPOINT_DIR)
    assert state is not None
    return state


def test_two_ranks_learn_what_one_process_does(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gone = replace(boxes.records[1], path=tmp_path / "gone.mp4")
    records = [boxes.records[0], gone, *boxes.records[2:]]
    train(records, tmp_path / "one", ALONE)
    spawn(records, tmp_path / "two", tmp_path / "meet")
    one, two = final_state(tmp_path / "one"), final_state(tmp_path / "two")
    assert one["step"] == two["step"] == 2
    for key, weight in one["model"].items():
        torch.testing.assert_close(weight, two["model"][key], rtol=1e-4, atol=1e-6)
    rows = [read_metrics(tmp_path / name) for name in ("one", "two")]
    assert [row["step"] for row in rows[1]] == [1, 2]
    for row, other in zip(*rows, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert row["videos"] == other["videos"]
    faults = [(tmp_path / name / "faults.jsonl").read_text() for name in ("one", "two")]
    assert faults[0] == faults[1]


def test_uneven_labels_weigh_alike_in_every_micro_batch_and_rank(partly_labelled_boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """Two of six videos are labelled: the losses and the weights learned from them do not depend on who reads them."""
    records, labels = partly_labelled_boxes.records, partly_labelled_boxes.labels
    config = replace(
        CONFIG,
        model="kinet",
        batch_size=6,
        micro_batch=6,
        human_weight=1.0,
        scene_weight=1.0,
        kinet=KINetOptions(cbi_places="none", akg_relation="none"),
    )
    train(records, tmp_path / "whole", ALONE, config, labels=labels)
    train(records, tmp_path / "parts", ALONE, replace(config, micro_batch=1), labels=labels)
    spawn(records, tmp_path / "ranks", tmp_path / "meet", replace(config, micro_batch=2), labels=labels)
    expected, expected_rows = final_state(tmp_path / "whole"), read_metrics(tmp_path / "whole")
    assert [row["mask_share"] for row in expected_rows] == pytest.approx([1 / 3, 1 / 3])
    for name in ("parts", "ranks"):
        for row, other in zip(expected_rows, read_metrics(tmp_path / name), strict=True):
            for figure in ("loss", "loss_action", "loss_human", "loss_scene", "gradient_norm", "mask_share"):
                assert row[figure] == pytest.approx(other[figure], rel=1e-4), (name, figure)
        for key, weight in final_state(tmp_path / name)["model"].items():
            torch.testing.assert_close(weight, expected["model"][key], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_resumed_ranks_end_bit_equal_with_dropout_and_batchnorm(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    config = replace(CONFIG, backbone="resnet18", dropout=0.5, input_size=32, batch_size=2)
    records = boxes.records[:2]
    spawn(records, tmp_path / "whole", tmp_path / "meet1", config)
    spawn(records, tmp_path / "parts", tmp_path / "meet2", replace(config, epochs=1))
    spawn(records, tmp_path / "parts", tmp_path / "meet3", config, resume=True)
    whole, parts = final_state(tmp_path / "whole"), final_state(tmp_path / "parts")
    assert all(torch.equal(weight, parts["model"][key]) for key, weight in whole["model"].items())


def start(workspace: Path, run: str, *more: str) -> "subprocess.Popen[str]":
    """Start `train-student` as a process of its own."""
    command = [sys.executable, "-m", "pipeline.cli", "train-student", "--workspace", str(workspace)]
    command += ["--dataset", "boxes", "--run", run, "--json", *SMALL, "--set", "model=tsn", "--set", "dropout=0.0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *more], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.slow
def test_two_ray_workers_outlive_a_kill(workspace: Path) -> None:
    # Long enough to be killed in the middle.
    run = start(workspace, "two", "--set", "checkpoint_every=1", "--set", "epochs=12", "--workers", "2")
    folder = workspace / "runs" / "two" / CHECKPOINT_DIR
    deadline = time.monotonic() + 400
    while not list_checkpoints(folder) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [pid for pid in descendants(run.pid) if "RayTrainWorker" in title(pid)]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert list_checkpoints(folder)[-1].name < "step-00000024.pt"
    out, err = run.communicate(timeout=400)
    assert run.returncode == 0, err
    assert json.loads(out)["steps"] == 24
    assert [row["step"] for row in read_metrics(workspace / "runs" / "two")] == list(range(1, 25))
