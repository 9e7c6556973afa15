"""How the synthetic figures move: joint angles as functions of time.

Angles are in radians, 0 hanging down, positive outward (away from the body) in the image plane for arms and legs of
wave and jumping_jack. "left" is the person's own left, on the right of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sin

import numpy as np


@dataclass(frozen=True, slots=True)
class Pose:
    """One frame's joint angles and offsets.

    Attributes:
        left_arm, right_arm: (upper arm, forearm) angles from hanging straight down, positive outward.
        left_leg, right_leg: (thigh, shin) angles, likewise.
        shift: sideways offset of the body in body heights.
        drop: how far the body stands lower (negative: jumps), in body heights.
        lean: sideways lean of the trunk.
    """

    left_arm: tuple[float, float]
    right_arm: tuple[float, float]
    left_leg: tuple[float, float]
    right_leg: tuple[float, float]
    shift: float = 0.0
    drop: float = 0.0
    lean: float = 0.0


@dataclass(frozen=True, slots=True)
class Style:
    """How one figure does its motion.

    Attributes:
        phase: where in the cycle it starts, in cycles.
        cycles_per_sec: speed.
        amplitude: size of the movement, about 1.
        is_mirrored: left and right exchanged (the other arm waves, the walk goes the other way).
    """

    phase: float
    cycles_per_sec: float
    amplitude: float
    is_mirrored: bool


def draw_style(rng: np.random.Generator) -> Style:
    """Choose phase, speed, size and side of a motion."""
    return Style(
        phase=float(rng.random()),
        cycles_per_sec=float(rng.uniform(0.9, 1.5)),
        amplitude=float(rng.uniform(0.8, 1.15)),
        is_mirrored=bool(rng.random() < 0.5),
    )


def pose_at(motion: str, style: Style, time_sec: float) -> Pose:
    """Give the pose of a motion (a name of ``spec.MOTIONS``) at a time."""
    pose = _POSES[motion](2 * pi * (style.phase + style.cycles_per_sec * time_sec), style.amplitude, time_sec)
    if not style.is_mirrored:
        return pose
    return Pose(
        left_arm=pose.right_arm,
        right_arm=pose.left_arm,
        left_leg=pose.right_leg,
        right_leg=pose.left_leg,
        shift=-pose.shift,
        drop=pose.drop,
        lean=-pose.lean,
    )


def _wave(angle: float, amplitude: float, time_sec: float) -> Pose:
    swing = sin(1.6 * angle)
    return Pose(
        left_arm=(1.9 + 0.15 * swing, 2.7 + 0.55 * amplitude * swing),
        right_arm=(0.2, 0.12),
        left_leg=(0.08, 0.03),
        right_leg=(0.08, 0.03),
        lean=0.04 * swing,
    )


def _walk(angle: float, amplitude: float, time_sec: float) -> Pose:
    step = 0.5 * amplitude * sin(angle)
    # Outward on one side is inward on the other: both legs swing in the walking direction.
    return Pose(
        left_arm=(-0.9 * step + 0.1, -0.9 * step + 0.35),
        right_arm=(-0.9 * step + 0.1, -0.9 * step - 0.15),
        left_leg=(step, step - 0.35 * max(0.0, sin(angle + 1.2))),
        right_leg=(step, step + 0.35 * max(0.0, -sin(angle + 1.2))),
        shift=0.28 * amplitude * (time_sec - 1.0),
        drop=0.015 * abs(sin(angle)),
        lean=0.06,
    )


def _jumping_jack(angle: float, amplitude: float, time_sec: float) -> Pose:
    opening = 0.5 - 0.5 * np.cos(angle)
    arm = 0.25 + 2.3 * float(opening)
    leg = 0.04 + 0.45 * amplitude * float(opening)
    limb = (leg, leg * 0.9)
    return Pose((arm, arm + 0.2), (arm, arm + 0.2), limb, limb, drop=-0.07 * amplitude * abs(sin(angle)))


def _squat(angle: float, amplitude: float, time_sec: float) -> Pose:
    depth = amplitude * (0.5 - 0.5 * float(np.cos(angle)))
    thigh, shin = 0.1 + 0.95 * depth, 0.05 - 0.35 * depth
    arm = 0.15 + 1.3 * depth
    return Pose((arm, arm + 0.1), (arm, arm + 0.1), (thigh, shin), (thigh, shin))


_POSES: dict[str, Callable[[float, float, float], Pose]] = {
    "wave": _wave,
    "walk": _walk,
    "jumping_jack": _jumping_jack,
    "squat": _squat,
}
