"""Light teachers for the chaos program, as slow as it wants them at the moment, that some colours crash or hang.

What they are told and what they tell lies in the program's folder, not in their files: these decide the fingerprint.
"""

import ctypes
import os
import time
from pathlib import Path

import torch
from chaos_videos import DEADLY, ENDLESS, HANGING
from light_teachers import CornerColours, GreenPixels
from torch import Tensor

# Names the program's folder, for every process of the cluster; also the mark by which each of them is found.
FOLDER_VARIABLE = "KINET_CHAOS_DIR"
PAUSE_NAME, BATCHES_NAME = "pause", "batches"
# By so much a video codec moves a colour.
TOLERANCE = 12


class FragileGreenPixels(GreenPixels):
    """As a bug in compiled code would: SIGSEGV at frames of one colour, no end at those of another."""

    name = "fragile_green_pixels"

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment: uint8 [B, H, W, 3] to bool [B, H, W]."""
        folder = Path(os.environ[FOLDER_VARIABLE])
        if bool(_is_plain(frames_BHWC, DEADLY).any()):
            # In this very thread: a signal sent from outside would leave it time to go on.
            ctypes.string_at(0)
        if bool(_is_plain(frames_BHWC, HANGING).any()):
            time.sleep(3600)
        if not bool(_is_plain(frames_BHWC, ENDLESS).all()):
            with (folder / BATCHES_NAME).open("ab", buffering=0) as batches:
                batches.write(b".")
            time.sleep(float((folder / PAUSE_NAME).read_text()))
        return super().predict_masks(frames_BHWC)


def _is_plain(frames_BHWC: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """Tell which frames have one colour all over: bool [B]."""
    distance_BC = (frames_BHWC.short() - torch.tensor(colour, dtype=torch.int16)).abs().amax(dim=(1, 2))
    return distance_BC.amax(dim=1) <= TOLERANCE


def load_human(weights_path: Path, *, device: torch.device, precision: str) -> FragileGreenPixels:
    """Make the human teacher."""
    return FragileGreenPixels(weights_path)


def load_scene(weights_path: Path, *, device: torch.device, precision: str) -> CornerColours:
    """Make the scene teacher."""
    return CornerColours(weights_path)
