"""Teachers that see what the shards of these tests hold: people are green, scenes are told by their ground's blue."""

from pathlib import Path

import torch
from torch import Tensor

from pipeline.label.teacher import SceneLabels


class ColourTeacher:
    """Both teachers in one; `blues` are the grounds of scene 0, 1, ..., in order."""

    sha256 = "0"
    preprocessing = "none"

    def __init__(self, name: str, blues: list[float]) -> None:
        self.name = name
        self._blues = torch.tensor([*blues, *[1e9] * (365 - len(blues))])

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        return frames_BHWC[..., 1] > 125

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        blue_B = frames_BHWC[..., 2].flatten(1).float().median(dim=1).values
        nearest = (blue_B[:, None] - self._blues).abs().topk(5, largest=False)
        return SceneLabels(nearest.indices, torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1]]).expand(len(blue_B), 5))


def load_human(weights_path: Path, *, device: torch.device, precision: str) -> ColourTeacher:
    return ColourTeacher("green", [])


def load_scene(weights_path: Path, *, device: torch.device, precision: str) -> ColourTeacher:
    """A teacher that sees scene 0 everywhere."""
    return ColourTeacher("blue", [0.0])
