"""How a teacher learns: length, rate, and the rate's schedule."""

import math
from dataclasses import dataclass
from typing import Literal

POLY_POWER = 0.9
Schedule = Literal["poly", "cosine"]


@dataclass(frozen=True)
class TrainingSettings:
    """How long and how fast to learn.

    Attributes:
        epochs: passes over the data.
        batch_size: images of a step, of all processes together.
        learning_rate: of SGD, at the start; falls to 0 by the schedule.
        schedule: "poly" (power .9, as PSPNet) or "cosine".
        momentum, weight_decay: of SGD; biases and normalisation do not decay.
        gradient_clip: bound of the gradients' global norm.
        max_minutes: end after this time, if not before; None for no bound.
        seed: of order, augmentation and dropout.
        precision: "float32" or "bfloat16" (autocast).
        log_every: steps between two lines of metrics.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    momentum: float = 0.9
    weight_decay: float = 1e-4
    gradient_clip: float = 10.0
    max_minutes: float | None = None
    seed: int = 0
    precision: str = "float32"
    log_every: int = 10

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "gradient_clip", "max_minutes", "log_every"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        for name in ("weight_decay", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum: expected 0 or more and less than 1, got {self.momentum}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision: expected float32 or bfloat16, got {self.precision!r}")
        if self.schedule not in ("poly", "cosine"):
            raise ValueError(f"schedule: expected poly or cosine, got {self.schedule!r}")


def scheduled_rate(settings: TrainingSettings, progress: float) -> float:
    """Compute the learning rate at a share of the work, 0 to 1."""
    remaining = max(0.0, 1 - progress)
    if settings.schedule == "poly":
        return settings.learning_rate * remaining**POLY_POWER
    return settings.learning_rate * (1 + math.cos(math.pi * min(1.0, progress))) / 2
