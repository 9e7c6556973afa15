"""Light teachers for the chaos program: they take their time, and the human one kills its process at a white frame."""

import ctypes
import time
from pathlib import Path

import torch
from light_teachers import CornerColours, GreenPixels
from torch import Tensor

WHITE = 250


class DeadlyGreenPixels(GreenPixels):
    """As a bug in compiled code would end it: SIGSEGV, whenever a whole frame is white. Its file holds the pause."""

    name = "deadly_green_pixels"

    def __init__(self, weights_path: Path) -> None:
        super().__init__(weights_path)
        self._pause_sec = float(weights_path.read_text())

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment: uint8 [B, H, W, 3] to bool [B, H, W]."""
        time.sleep(self._pause_sec)
        if bool((frames_BHWC.amin(dim=(1, 2, 3)) > WHITE).any()):
            # In this very thread: a signal sent from outside would leave it time to go on.
            ctypes.string_at(0)
        return super().predict_masks(frames_BHWC)


def load_human(weights_path: Path, *, device: torch.device, precision: str) -> DeadlyGreenPixels:
    """Make the human teacher."""
    return DeadlyGreenPixels(weights_path)


def load_scene(weights_path: Path, *, device: torch.device, precision: str) -> CornerColours:
    """Make the scene teacher."""
    return CornerColours(weights_path)
