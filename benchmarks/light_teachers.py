"""Teachers that cost almost nothing, by the protocol of `pipeline.label.teacher`: what is left to measure is the rest.

Their weights files may hold anything; ``--human-teacher light_teachers:load_human`` finds them when this folder is on
PYTHONPATH.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from pipeline.label.teacher import NUM_SCENE_LABELS, SceneLabels

SCENE_PROBS = (0.4, 0.3, 0.15, 0.1, 0.05)


class GreenPixels:
    """A pixel of more than half green is a person."""

    name = "green_pixels"
    preprocessing = "none"

    def __init__(self, weights_path: Path) -> None:
        self.sha256 = hashlib.sha256(weights_path.read_bytes()).hexdigest()

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment: uint8 [B, H, W, 3] to bool [B, H, W]."""
        return frames_BHWC[..., 1] > 127


class CornerColours:
    """The scene is what the red of five pixels says."""

    name = "corner_colours"
    preprocessing = "none"

    def __init__(self, weights_path: Path) -> None:
        self.sha256 = hashlib.sha256(weights_path.read_bytes()).hexdigest()

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        """Classify: uint8 [B, H, W, 3] to indices in 0..255 and fixed probabilities."""
        indices_BK = frames_BHWC[:, 0, :NUM_SCENE_LABELS, 0].long()
        probs_K = torch.tensor(SCENE_PROBS, device=frames_BHWC.device)
        return SceneLabels(indices_BK, probs_K.expand(len(indices_BK), NUM_SCENE_LABELS))


def load_human(weights_path: Path, *, device: torch.device, precision: str) -> GreenPixels:
    """Make the human teacher."""
    return GreenPixels(weights_path)


def load_scene(weights_path: Path, *, device: torch.device, precision: str) -> CornerColours:
    """Make the scene teacher."""
    return CornerColours(weights_path)
