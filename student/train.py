"""Train a student: one plain loop, in one process or several, that can be stopped anywhere and taken up again.

After every optimiser step the run's state is whole: weights, optimiser, position, generators. A run that was killed and
resumed from its last checkpoint ends bit-equal to an unbroken one on the CPU.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.optim import SGD

from pipeline.training.checkpoint import (
    BEST_NAME,
    load_checkpoint,
    save_best,
    save_checkpoint,
)
from pipeline.training.faults import FaultLog
from pipeline.training.runlog import RunWriters
from pipeline.training.seeds import dropout_seed
from pipeline.training.state import CHECKPOINT_DIR, gather_state, restore_state
from pipeline.training.stop import StopRequest
from pipeline.training.world import ALONE, World
from student.build import Student
from student.dataset import DroppedVideo, TrainDataset
from student.loading import StepPlan, read_batches
from student.parameters import freeze_batchnorm_except_first, parameter_groups
from student.recipes.config import TrainConfig
from student.stepping import Stepper


@dataclass(frozen=True)
class TrainSummary:
    """What a finished run did.

    Attributes:
        steps: optimiser steps, of all the run's parts together.
        epochs: passes over the data set.
        loss: of the last step; None where this process had no step to do.
        seconds: of this process.
        faults: videos and frames that could not be used, by reason.
        best: `step` and `val_top1` of the best checkpoint; None where the recipe does not validate.
    """

    steps: int
    epochs: int
    loss: float | None
    seconds: float
    faults: dict[str, int]
    best: dict[str, float] | None = None


def train_loop(
    config: TrainConfig,
    model: Student,
    dataset: TrainDataset,
    *,
    run_dir: Path,
    device: torch.device,
    resume: bool = False,
    loader_workers: int = 0,
    left_out: Sequence[DroppedVideo] = (),
    validate: Callable[[Student], Mapping[str, float]] | None = None,
    transferred: bool = False,
    world: World = ALONE,
    after_step: Callable[[int], None] | None = None,
) -> TrainSummary:
    """Train a student by a recipe and leave checkpoints and metrics in the run's folder.

    Several processes may train together (`world`): each calls this with the same arguments but `world` and `device`,
    reads its share of every step's videos, and ends with the same weights. Rank 0 writes.

    Dropout draws from torch's global generator, the only one it knows: the loop seeds it, keeps its state in the
    checkpoints, and gives it back as it was.

    Args:
        config: the recipe; its batch size is that of all ranks together, its micro-batch that of one.
        model: the student, with its initial weights; it is moved to `device` and trained in place.
        dataset: the videos, with the recipe's seed.
        run_dir: of the run; made where it does not exist. All ranks must reach it.
        device: CPU or CUDA.
        resume: go on from the newest checkpoint; from the start where there is none.
        loader_workers: processes that read; 0 reads in this one, and then a video that hangs its decoder hangs the
            run. The result does not depend on it.
        left_out: videos that are not in `dataset` because of a fault; they are counted with the others.
        validate: scores the student after the epochs that the recipe says, on all ranks; its `val_top1` chooses the
            best checkpoint. It leaves the student in evaluation mode.
        transferred: the initial weights are another run's, see `freeze_batchnorm_except_first`.
        world: this process's place among those that train together.
        after_step: called with the number of steps done, after what is to be saved of the step is saved.

    Raises:
        TrainingError: the loss or the gradient is no number, or no video of an epoch can be read.
        InterruptedRun: SIGINT or SIGTERM; a checkpoint was saved. Only alone: a signal reaches one rank, not all.
        CheckpointError, WorkspaceError, ShardError, LoadingError: as their names say.
    """
    plan = StepPlan(len(dataset), config.batch_size, config.micro_batch, config.epochs, config.seed, world)
    if config.freeze_batchnorm:
        freeze_batchnorm_except_first(model, transferred=transferred)
    model.to(device).train()
    optimizer = SGD(
        parameter_groups(model, config.learning_rate, config.weight_decay),
        lr=config.learning_rate,
        momentum=config.momentum,
        fused=True,  # a third of the time on a processor, which counts in small batches
    )
    started = time.monotonic()
    checkpoint_dir = run_dir / CHECKPOINT_DIR
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), StopRequest() as stop:
        torch.manual_seed(dropout_seed(config.seed, world.rank))
        restored = restore_state(checkpoint_dir, model, optimizer, device, world) if resume else None
        step: int = restored["step"] if restored else 0
        del restored  # as large as the model
        batches = read_batches(
            dataset, plan, start_step=step, loader_workers=loader_workers, pin_memory=device.type == "cuda"
        )
        run_dir.mkdir(parents=True, exist_ok=True)
        faults = FaultLog(run_dir, writes=world.rank == 0)
        for video in left_out:
            faults.note(video.video_id, video.reason, video.message)
        stepper = Stepper(config, model, optimizer, plan, device, batches, faults, world)
        loss: float | None = None
        best = _read_best(checkpoint_dir) if resume else None
        with RunWriters(
            run_dir, total=plan.total_steps, done=step, every=config.log_every, writes=world.rank == 0
        ) as writers:
            while step < plan.total_steps:
                values = stepper.take(step)
                step += 1
                loss = values.get("loss", loss)
                epoch_ends = step % plan.epoch_steps == 0
                if epoch_ends and validate is not None and config.validates_after(step // plan.epoch_steps):
                    values |= validate(model)
                    model.train()
                    if best is None or values["val_top1"] > best["val_top1"]:
                        best = {"step": step, "val_top1": values["val_top1"]}
                        if world.rank == 0:
                            save_best({**best, "model": model.state_dict()}, checkpoint_dir)
                writers.write(step, values, epoch=f"{plan.epoch_of(step - 1) + 1}/{plan.epochs}", always=epoch_ends)
                regular = config.checkpoint_every and step % config.checkpoint_every == 0
                asked = stop.signal is not None and world.size == 1
                if epoch_ends or regular or asked:
                    state = gather_state(step, model, optimizer, device, world)
                    if world.rank == 0:
                        save_checkpoint(state, checkpoint_dir, step=step)
                if asked:
                    stop.raise_if_asked(f"step {step} of {plan.total_steps} is saved; go on with --resume")
                if after_step is not None:
                    after_step(step)
    return TrainSummary(step, config.epochs, loss, time.monotonic() - started, faults.counts, best)


def _read_best(checkpoint_dir: Path) -> dict[str, float] | None:
    """Return step and `val_top1` of the best checkpoint so far; None where there is none."""
    path = checkpoint_dir / BEST_NAME
    if not path.exists():
        return None
    state = load_checkpoint(path)
    return {"step": state["step"], "val_top1": state["val_top1"]}
