"""How far a teacher's training is: what the loop remembers between steps, and a checkpoint between processes."""

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.training.world import World
from teachers.loading import ImagePlan
from teachers.settings import TrainingSettings

LOSS_WINDOW = 100


class TrainingSummary(NamedTuple):
    """What a training run did, all its parts together.

    Attributes:
        steps, images, seconds: its size.
        first_loss, last_loss: means of the first and last steps: a tenth of the run, 100 at most.
        unusable_images: distinct images that could not be read or used.
        ended_by: "epochs" or "time".
    """

    steps: int
    images: int
    seconds: float
    first_loss: float
    last_loss: float
    unusable_images: int
    ended_by: str


@dataclass
class TrainingProgress:
    """Steps, images, seconds and losses of a run, all its parts together."""

    settings: TrainingSettings
    total_steps: int
    step: int = 0
    images: int = 0
    former_sec: float = 0.0
    first_losses: list[float] = field(default_factory=list)
    last_losses: deque[float] = field(default_factory=deque)
    begin_sec: float = field(default_factory=time.monotonic)

    @classmethod
    def taken_up(cls, settings: TrainingSettings, plan: ImagePlan, state: dict[str, Any]) -> "TrainingProgress":
        """Go on where a checkpoint was made."""
        return cls(
            settings,
            plan.total_steps,
            step=state["step"],
            images=state["images"],
            former_sec=state["seconds"],
            first_losses=list(state["first_losses"]),
            last_losses=deque(state["last_losses"]),
        )

    def to_state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps beside weights, optimiser and generators."""
        return {
            "images": self.images,
            "seconds": self.seconds,
            "first_losses": list(self.first_losses),
            "last_losses": list(self.last_losses),
        }

    @property
    def seconds(self) -> float:
        return self.former_sec + time.monotonic() - self.begin_sec

    def progress(self, world: World) -> float:
        """Return the share of the work that is done; where time bounds it, rank 0's clock counts."""
        share = self.step / self.total_steps
        if self.settings.max_minutes is None:
            return share
        return max(share, world.gather(self.seconds)[0] / (60 * self.settings.max_minutes))

    def ended_by(self, world: World) -> str:
        """Say what ended the run; "" while it goes on."""
        if self.step >= self.total_steps:
            return "epochs"
        return "time" if self.settings.max_minutes is not None and self.progress(world) >= 1 else ""

    def note(self, values: dict[str, float]) -> None:
        """Count a step that was taken."""
        self.step += 1
        self.images += int(values["images"])
        if "loss" not in values:
            return
        window = min(LOSS_WINDOW, max(1, self.total_steps // 10))
        if len(self.first_losses) < window:
            self.first_losses.append(values["loss"])
        self.last_losses.append(values["loss"])
        if len(self.last_losses) > window:
            self.last_losses.popleft()

    def summary(self, unusable_images: int, ended_by: str) -> TrainingSummary:
        return TrainingSummary(
            steps=self.step,
            images=self.images,
            seconds=self.seconds,
            first_loss=sum(self.first_losses) / max(1, len(self.first_losses)),
            last_loss=sum(self.last_losses) / max(1, len(self.last_losses)),
            unusable_images=unusable_images,
            ended_by=ended_by,
        )
