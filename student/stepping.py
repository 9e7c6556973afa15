"""One optimiser step: gradients of its micro-batches added up, over all ranks, then the weights moved."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim import SGD

from pipeline.errors import KinetError
from pipeline.training.faults import FaultLog
from pipeline.training.precision import autocast
from pipeline.training.world import World
from student.build import Student
from student.dataset import TrainBatch
from student.diagnosis import CbiProbe, measure_agreement, measure_task_gradients
from student.kinet import KINet
from student.loading import StepPlan
from student.losses import JointTargets, LossWeights, joint_loss
from student.normalisation import normalise
from student.recipes.config import TrainConfig

# Kind of fault under which a frame is counted that is not the one that stage one labelled.
FRAME_MISMATCH = "frame_mismatch"

Fault = tuple[str, str, str]  # what `FaultLog.note` takes: name, kind, message


class TrainingError(KinetError):
    """The run cannot go on: the loss is no number, nothing can be read, or a device's memory is full."""


class Stepper:
    """Take one optimiser step at a time; the parts that every step needs, in one place.

    Args:
        config: the recipe.
        model: on `device`, in training mode.
        optimizer: of its parameters, with `lr_factor` in each group.
        plan: which videos each step reads.
        device: CPU or CUDA.
        batches: this rank's micro-batches, from the first step to be taken on.
        faults: where unusable videos and frames are counted; only rank 0 writes.
        world: the processes that take the steps together.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: Student,
        optimizer: SGD,
        plan: StepPlan,
        device: torch.device,
        batches: Iterator[TrainBatch],
        faults: FaultLog,
        world: World,
    ) -> None:
        self.faults = faults
        self._config, self._model, self._optimizer, self._plan = config, model, optimizer, plan
        self._device, self._batches, self._world = device, batches, world
        self._weights = LossWeights(config.action_weight, config.human_weight, config.scene_weight)
        self._empty_steps = 0
        self._diagnosis: dict[str, float] = {}

    def take(self, step: int) -> dict[str, float]:
        """Add up the gradients of the step's micro-batches, then move the weights; return what is logged.

        The step's videos are read before the first goes through the network: each loss is a mean over all that the step
        has of its kind (videos read, masks, scene labels, on all ranks), however these lie in micro-batches and ranks.

        Raises:
            TrainingError: loss or gradient is no number, the device's memory is full, or nothing can be read.
            KinetError: that ended the reading.
        """
        try:
            return self._take(step)
        except torch.OutOfMemoryError as error:
            cause = str(error).partition("\n")[0]
            raise TrainingError(
                f"step {step + 1}: {self._device} has too little memory for micro-batches of "
                f"{self._config.micro_batch} videos ({cause}); a new run with a lower --set micro_batch=... needs less"
            ) from error

    def _take(self, step: int) -> dict[str, float]:
        began = time.monotonic()
        epoch = self._plan.epoch_of(step)
        rate = self._config.learning_rate_at(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["lr_factor"]
        self._optimizer.zero_grad(set_to_none=True)
        self._diagnosis = {}
        batches = self._read_batches()
        wait_sec = time.monotonic() - began
        faults = _list_faults(batches)
        counts = self._count(batches, faults)
        if counts.faults:
            self._note_faults(faults)
        values = {"epoch": float(epoch), "learning_rate": rate, "videos": float(counts.videos)}
        if counts.videos == 0:
            self._count_empty_step(step)
            return values
        self._empty_steps = 0
        diagnosed = bool(self._config.diagnose_every) and (step + 1) % self._config.diagnose_every == 0
        parts = torch.zeros(5, device=self._device)
        for number, batch in enumerate(batch for batch in batches if len(batch.action)):
            parts += self._accumulate(batch, counts, diagnosed and number == 0)
        loss, action, human, scene, correct = self._world.sum(parts).tolist()
        self._world.sum_gradients(self._model.parameters())
        limit = self._config.clip_norm or float("inf")
        norm = float(torch.nn.utils.clip_grad_norm_(self._model.parameters(), limit))
        if not (abs(loss) < float("inf") and norm < float("inf")):
            raise TrainingError(
                f"step {step + 1} (epoch {epoch + 1}): loss {loss}, gradient norm {norm}; the run stopped before this "
                "step. Lower the rate (--set learning_rate=...) or try --set precision=float32 in a new --run"
            )
        self._optimizer.step()
        self._world.average_statistics(self._model)
        seconds = time.monotonic() - began
        return values | {
            "loss": loss,
            "loss_action": action,
            "loss_human": human,
            "loss_scene": scene,
            "train_top1": correct,
            "gradient_norm": norm,
            "labelled_share": counts.labelled / counts.frames,
            "mask_share": counts.masks / counts.frames,
            "scene_share": counts.scenes / counts.frames,
            "frames_per_sec": counts.frames / seconds,
            "data_wait_share": wait_sec / seconds,
            **self._diagnosis,
        }

    def _read_batches(self) -> list[TrainBatch]:
        """Read this rank's micro-batches of one step; a fault that must end the run is raised."""
        batches = []
        for _ in range(self._plan.step_micro_batches):
            batch = next(self._batches)
            if batch.fault is not None:
                raise batch.fault
            batches.append(batch)
        return batches

    def _count(self, batches: list[TrainBatch], faults: list[Fault]) -> "_StepCounts":
        """Count what all ranks have read for a step."""
        kinds = [
            (
                len(batch.action),
                batch.has_label.numel(),
                batch.has_label.sum(),
                batch.has_mask.sum(),
                _num_scenes(batch),
            )
            for batch in batches
        ]
        mine = [int(sum(kind)) for kind in zip(*kinds, strict=True)]
        counts = self._world.sum(torch.tensor([*mine, len(faults)], device=self._device))
        return _StepCounts(*counts.tolist())

    def _accumulate(self, batch: TrainBatch, counts: "_StepCounts", diagnosed: bool) -> Tensor:
        """Add one micro-batch's gradients; return its part of total, action, human, scene loss, share correct: [5]."""
        frames = batch.frames.to(self._device, non_blocking=True)
        targets = JointTargets(
            action=batch.action.to(self._device, non_blocking=True),
            masks=batch.masks.to(self._device, non_blocking=True),
            scene=batch.scene_indices[:, :, 0].to(self._device, non_blocking=True),
            has_label=batch.has_label.to(self._device, non_blocking=True),
            scene_indices=batch.scene_indices.to(self._device, non_blocking=True),
            scene_probs=batch.scene_probs.to(self._device, non_blocking=True),
            has_mask=batch.has_mask.to(self._device, non_blocking=True),
            has_scene=batch.has_scene.to(self._device, non_blocking=True),
        )
        temperature = self._config.scene_temperature or None
        probe = CbiProbe(self._model, enabled=diagnosed)
        with autocast(self._config.precision, self._device), probe:
            outputs = self._model(normalise(frames, self._model.normalisation))
            losses = joint_loss(outputs, targets, self._weights, scene_temperature=temperature)
        if diagnosed:
            self._diagnosis = probe.statistics | measure_agreement(outputs, targets)
            if isinstance(self._model, KINet):
                self._diagnosis |= measure_task_gradients(self._model.trunk, losses, self._weights)
            if outputs.edge_entropy is not None:
                self._diagnosis["akg_edge_entropy"] = float(outputs.edge_entropy)
        # Means over the micro-batch become its parts of the means over the step.
        action = losses.action * (len(batch.action) / counts.videos)
        human = losses.human * (int(batch.has_mask.sum()) / max(1, counts.masks))
        scene = losses.scene * (_num_scenes(batch) / max(1, counts.scenes))
        total = self._weights.action * action + self._weights.human * human + self._weights.scene * scene
        total.backward()
        correct = (outputs.action_logits.argmax(dim=1) == targets.action).float().sum() / counts.videos
        parts = (total, action, human, scene, correct)
        return torch.stack([part.detach().float() for part in parts])

    def _note_faults(self, mine: list[Fault]) -> None:
        """Count what any rank could not use, on every rank alike."""
        for faults in self._world.gather(mine):
            for name, kind, message in faults:
                self.faults.note(name, kind, message)

    def _count_empty_step(self, step: int) -> None:
        self._empty_steps += 1
        if self._empty_steps >= self._plan.epoch_steps:
            raise TrainingError(
                f"step {step + 1}: not one video of a whole epoch can be read ({self.faults.counts}); see faults.jsonl "
                "in the run's folder, then run kinet-pipeline manifest check"
            )


class _StepCounts(NamedTuple):
    """What all ranks have read for one step: videos, their frames, and how many of these have which label; faults."""

    videos: int
    frames: int
    labelled: int
    masks: int
    scenes: int
    faults: int


def _num_scenes(batch: TrainBatch) -> int:
    return int(batch.has_scene.sum()) if len(batch.action) else 0


def _list_faults(batches: list[TrainBatch]) -> list[Fault]:
    dropped = [(video.video_id, video.reason, video.message) for batch in batches for video in batch.dropped]
    return dropped + [
        (f"{video_id}#{frame}", FRAME_MISMATCH, f"frame {frame} is not the one labelled; its label is left out")
        for batch in batches
        for video_id, frame in batch.mismatched
    ]
