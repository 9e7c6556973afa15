"""Train a student: one plain loop in one process, on the CPU or a GPU, that can be stopped anywhere and taken up again.

After every optimiser step the run's state is whole: weights, optimiser, position, generators. A run that was killed and
resumed from its last checkpoint ends bit-equal to an unbroken one on the CPU.

Shape suffixes: B videos, T segments, S input size.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD

from pipeline.errors import CheckpointError, KinetError
from pipeline.training.checkpoint import load_latest_checkpoint, save_checkpoint
from pipeline.training.faults import FaultLog
from pipeline.training.precision import autocast
from pipeline.training.runlog import MetricsLog, RunProgress
from pipeline.training.stop import StopRequest
from student.build import Student
from student.dataset import DroppedVideo, TrainBatch, TrainDataset
from student.loading import StepPlan, read_batches
from student.losses import JointTargets, LossWeights, joint_loss
from student.normalisation import normalise
from student.parameters import freeze_batchnorm_except_first, parameter_groups
from student.recipes.config import TrainConfig

CHECKPOINT_DIR = "checkpoints"
# Kind of fault under which a frame is counted that is not the one that stage one labelled.
FRAME_MISMATCH = "frame_mismatch"


class TrainingError(KinetError):
    """The run cannot go on: the loss is no number, or nothing can be read."""


@dataclass(frozen=True)
class TrainSummary:
    """What a finished run did.

    Attributes:
        steps: optimiser steps, of all the run's parts together.
        epochs: passes over the data set.
        loss: of the last step; None where this process had no step to do.
        seconds: of this process.
        faults: videos and frames that could not be used, by reason.
    """

    steps: int
    epochs: int
    loss: float | None
    seconds: float
    faults: dict[str, int]


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
    after_step: Callable[[int], None] | None = None,
) -> TrainSummary:
    """Train a student by a recipe and leave checkpoints and metrics in the run's folder.

    Dropout draws from torch's global generator, the only one it knows: the loop seeds it, keeps its state in the
    checkpoints, and gives it back as it was.

    Args:
        config: the recipe.
        model: the student, with its initial weights; it is moved to `device` and trained in place.
        dataset: the videos, with the recipe's seed.
        run_dir: of the run; made where it does not exist.
        device: CPU or CUDA.
        resume: go on from the newest checkpoint; from the start where there is none.
        loader_workers: processes that read; 0 reads in this one, and then a video that hangs its decoder hangs the
            run. The result does not depend on it.
        left_out: videos that are not in `dataset` because of a fault; they are counted with the others.
        after_step: called with the number of steps done, after what is to be saved of the step is saved.

    Raises:
        TrainingError: the loss or the gradient is no number, or no video of an epoch can be read.
        InterruptedRun: SIGINT or SIGTERM; a checkpoint was saved.
        CheckpointError, WorkspaceError, ShardError: as their names say.
    """
    plan = StepPlan(len(dataset), config.batch_size, config.micro_batch, config.epochs, config.seed)
    if config.freeze_batchnorm:
        freeze_batchnorm_except_first(model)
    model.to(device).train()
    optimizer = SGD(
        parameter_groups(model, config.learning_rate, config.weight_decay),
        lr=config.learning_rate,
        momentum=config.momentum,
    )
    started = time.monotonic()
    checkpoint_dir = run_dir / CHECKPOINT_DIR
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), StopRequest() as stop:
        torch.manual_seed(config.seed)
        step = _restore(checkpoint_dir, model, optimizer, device) if resume else 0
        batches = read_batches(
            dataset, plan, start_step=step, loader_workers=loader_workers, pin_memory=device.type == "cuda"
        )
        run_dir.mkdir(parents=True, exist_ok=True)
        stepper = _Stepper(config, model, optimizer, plan, device, batches, FaultLog(run_dir))
        loss: float | None = None
        for video in left_out:
            stepper.faults.note(video.video_id, video.reason, video.message)
        with (
            MetricsLog(run_dir, start_step=step) as log,
            RunProgress("train", total=plan.total_steps, done=step, line_every=config.log_every) as progress,
        ):
            while step < plan.total_steps:
                values = stepper.take(step)
                step += 1
                loss = values.get("loss", loss)
                epoch_ends = step % plan.epoch_steps == 0
                if step % config.log_every == 0 or epoch_ends:
                    log.write(step, values)
                shown = "" if loss is None else f" loss {loss:.4f}"
                progress.update(step, f"epoch {plan.epoch_of(step - 1) + 1}/{plan.epochs}{shown}")
                regular = config.checkpoint_every and step % config.checkpoint_every == 0
                if epoch_ends or regular or stop.signal is not None:
                    save_checkpoint(_state(step, model, optimizer, device), checkpoint_dir, step=step)
                stop.raise_if_asked(f"step {step} of {plan.total_steps} is saved; go on with --resume")
                if after_step is not None:
                    after_step(step)
    return TrainSummary(step, config.epochs, loss, time.monotonic() - started, stepper.faults.counts)


class _Stepper:
    """Take one optimiser step at a time; the parts that every step needs, in one place."""

    def __init__(
        self,
        config: TrainConfig,
        model: Student,
        optimizer: SGD,
        plan: StepPlan,
        device: torch.device,
        batches: Iterator[TrainBatch],
        faults: FaultLog,
    ) -> None:
        self.faults = faults
        self._config, self._model, self._optimizer, self._plan = config, model, optimizer, plan
        self._device, self._batches = device, batches
        self._weights = LossWeights(config.action_weight, config.human_weight, config.scene_weight)
        self._empty_steps = 0

    def take(self, step: int) -> dict[str, float]:
        """Add up the gradients of the step's micro-batches, then move the weights; return what is logged.

        Each micro-batch counts by its share of the step's videos; its auxiliary losses are means over its own labelled
        frames.
        """
        began = time.monotonic()
        epoch = self._plan.epoch_of(step)
        rate = self._config.learning_rate_at(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]
        self._optimizer.zero_grad(set_to_none=True)
        parts: list[Tensor] = []
        num_videos = num_frames = num_labelled = num_masks = num_scenes = 0
        for _ in range(self._plan.step_micro_batches):
            batch = next(self._batches)
            self._note_faults(batch)
            if len(batch.action) == 0:
                continue
            share = (len(batch.action) + len(batch.dropped)) / self._plan.step_videos
            parts.append(self._accumulate(batch, share) * share)
            num_videos += len(batch.action)
            num_frames += batch.has_label.numel()
            num_labelled += int(batch.has_label.sum())
            num_masks += int(batch.has_mask.sum())
            num_scenes += int(batch.has_scene.sum())
        values = {"epoch": float(epoch), "learning_rate": rate, "videos": float(num_videos)}
        if not parts:
            self._count_empty_step(step)
            return values
        self._empty_steps = 0
        loss, action, human, scene, correct = torch.stack(parts).sum(dim=0).tolist()
        limit = self._config.clip_norm or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self._model.parameters(), limit))
        if not (abs(loss) < float("inf") and norm < float("inf")):
            raise TrainingError(
                f"step {step + 1} (epoch {epoch + 1}): loss {loss}, gradient norm {norm}; the run stopped before this "
                "step. Lower the rate (--set learning_rate=...) or try --set precision=float32 in a new --run"
            )
        self._optimizer.step()
        seconds = time.monotonic() - began
        return values | {
            "loss": loss,
            "loss_action": action,
            "loss_human": human,
            "loss_scene": scene,
            "train_top1": correct,
            "gradient_norm": norm,
            "labelled_share": num_labelled / num_frames,
            "mask_share": num_masks / num_frames,
            "scene_share": num_scenes / num_frames,
            "frames_per_sec": num_frames / seconds,
        }

    def _accumulate(self, batch: TrainBatch, share: float) -> Tensor:
        """Add one micro-batch's gradients; return float32 [5]: total, action, human, scene losses, share correct."""
        batch_on = batch._replace(
            frames=batch.frames.to(self._device, non_blocking=True),
            action=batch.action.to(self._device, non_blocking=True),
        )
        targets = JointTargets(
            action=batch_on.action,
            masks=batch.masks.to(self._device, non_blocking=True),
            scene=batch.scene_indices[:, :, 0].to(self._device, non_blocking=True),
            has_label=batch.has_label.to(self._device, non_blocking=True),
            scene_indices=batch.scene_indices.to(self._device, non_blocking=True),
            scene_probs=batch.scene_probs.to(self._device, non_blocking=True),
            has_mask=batch.has_mask.to(self._device, non_blocking=True),
            has_scene=batch.has_scene.to(self._device, non_blocking=True),
        )
        with autocast(self._config.precision, self._device):
            outputs = self._model(normalise(batch_on.frames, self._model.normalisation))
            temperature = self._config.scene_temperature or None
            losses = joint_loss(outputs, targets, self._weights, scene_temperature=temperature)
        (losses.total * share).backward()
        correct = (outputs.action_logits.argmax(dim=1) == batch_on.action).float().mean()
        parts = (losses.total, losses.action, losses.human, losses.scene, correct)
        return torch.stack([part.detach().float() for part in parts])

    def _note_faults(self, batch: TrainBatch) -> None:
        if batch.fault is not None:
            raise batch.fault
        for video in batch.dropped:
            self.faults.note(video.video_id, video.reason, video.message)
        for video_id, frame in batch.mismatched:
            self.faults.note(
                f"{video_id}#{frame}", FRAME_MISMATCH, f"frame {frame} is not the one labelled; its label is left out"
            )

    def _count_empty_step(self, step: int) -> None:
        self._empty_steps += 1
        if self._empty_steps >= self._plan.epoch_steps:
            raise TrainingError(
                f"step {step + 1}: not one video of a whole epoch can be read ({self.faults.counts}); see faults.jsonl "
                "in the run's folder, then run kinet-pipeline manifest check"
            )


def _state(step: int, model: Student, optimizer: SGD, device: torch.device) -> dict[str, Any]:
    """Gather all that a resumed run needs; plain data only."""
    return {
        "step": step,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def _restore(checkpoint_dir: Path, model: Student, optimizer: SGD, device: torch.device) -> int:
    """Load the newest checkpoint into model, optimiser and generators; return the steps done, 0 where there is none."""
    state = load_latest_checkpoint(checkpoint_dir)
    if state is None:
        return 0
    try:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, ValueError, KeyError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"{checkpoint_dir}: the checkpoint is not of this student: {first_line}") from error
    torch.set_rng_state(state["rng"])
    if device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
    step: int = state["step"]
    return step
