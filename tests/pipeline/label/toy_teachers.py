"""Two teachers of a user's own, by the documented protocol: plain functions of a frame's pixels, no networks.

Their labels can be worked out from the frames, so that a test knows what must be in a shard.
"""

import ctypes
import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.label.teacher import NUM_SCENE_LABELS, SceneLabels

# The human teacher's process is killed, as the system does for its memory, after so many frames of whatever videos.
LEAK_VARIABLE = "KINET_TOY_LEAK"
# What the human teacher does at a white frame: "crash", "hang", the process and all, "raise", or give masks of another
# form, "sideways", "bytes" or "too many".
HARM_VARIABLE = "KINET_TOY_HARM"
# What the human teacher says of its preprocessing, on a node that is not as the others are.
ODDNESS_VARIABLE = "KINET_TOY_ODDNESS"
# Every teacher is tried on so many as it is loaded.
NUM_TRIAL_FRAMES = 2

_OTHER_FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "sideways": lambda masks_BHW: masks_BHW.transpose(1, 2),
    "bytes": lambda masks_BHW: masks_BHW.byte() * 255,
    "too many": lambda masks_BHW: torch.cat([masks_BHW, masks_BHW]),
}


class BrightPixels:
    """Everything brighter than the frame's mean is a person."""

    def __init__(self, path: Path) -> None:
        self.name = "bright_pixels"
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.preprocessing = os.environ.get(ODDNESS_VARIABLE, "none")
        self._pause_sec = float(path.read_text() or 0)
        self._frames_left = float(os.environ.get(LEAK_VARIABLE, "inf"))

    def pause(self) -> None:
        time.sleep(self._pause_sec)

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        self.pause()
        self._frames_left -= len(frames_BHWC)
        if self._frames_left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        harm = os.environ.get(HARM_VARIABLE)
        if harm and bool((frames_BHWC.amin(dim=(1, 2, 3)) > 250).any()):
            if harm == "raise":
                raise RuntimeError("no white frames, please")
            if harm == "hang":
                time.sleep(3600)
            if harm in _OTHER_FORMS:
                return _OTHER_FORMS[harm](frames_BHWC[..., 0] > 250)
            # In this very thread: a signal sent from outside would leave it time to go on.
            ctypes.string_at(0)
        luma_BHW = frames_BHWC.sum(dim=-1, dtype=torch.int32)
        return luma_BHW > luma_BHW.double().mean(dim=(1, 2), keepdim=True)


class MeanColour:
    """The scene is the mean of red, of green, of blue, and of all three; classes 0 to 255 and 300."""

    def __init__(self, path: Path) -> None:
        self.name = "mean_colour"
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.preprocessing = "none"

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        means_BC = frames_BHWC.double().mean(dim=(1, 2))
        indices_BK = torch.cat([means_BC, means_BC.mean(dim=1, keepdim=True), torch.full((len(means_BC), 1), 300.0)], 1)
        probs_K = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])
        return SceneLabels(indices_BK.long(), probs_K.expand(len(means_BC), NUM_SCENE_LABELS))


def load_human(weights_path: Path, *, device: torch.device, precision: str) -> BrightPixels:
    """Make the human teacher; its file holds the seconds it pauses a batch."""
    return BrightPixels(weights_path)


class MortalOnce(BrightPixels):
    """Its process dies at the first whole batch that any of its kind is given; a file "died" there tells the others."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._died_path = path.with_name("died")

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        if len(frames_BHWC) > NUM_TRIAL_FRAMES and not self._died_path.exists():
            self._died_path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict_masks(frames_BHWC)


def load_human_mortal(weights_path: Path, *, device: torch.device, precision: str) -> BrightPixels:
    """Make a human teacher whose first process dies."""
    return MortalOnce(weights_path)


def load_human_when_told(weights_path: Path, *, device: torch.device, precision: str) -> BrightPixels:
    """Leave a file "loading-PID" beside the weights; make the human teacher once there is a file "go" too."""
    weights_path.with_name(f"loading-{os.getpid()}").touch()
    while not weights_path.with_name("go").exists():
        time.sleep(0.1)
    return BrightPixels(weights_path)


def load_scene(weights_path: Path, *, device: torch.device, precision: str) -> MeanColour:
    """Make the scene teacher; its file may hold anything."""
    return MeanColour(weights_path)


class OneScene(MeanColour):
    """A broken teacher: the same scenes for every frame."""

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        labels = super().predict_scenes(frames_BHWC)
        return SceneLabels(torch.arange(7, 12).expand_as(labels.indices_BK), labels.probs_BK)


def load_constant_scene(weights_path: Path, *, device: torch.device, precision: str) -> OneScene:
    """Make the broken scene teacher; its file may hold anything."""
    return OneScene(weights_path)
