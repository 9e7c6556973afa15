"""The scene teacher: which of the 365 Places365 classes a frame shows.

Shapes: B frames, H and W the frame's size, K = 5 best classes.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.label.teacher import NUM_SCENE_LABELS, SceneLabels
from pipeline.training.precision import autocast, ready_for_inference
from teachers.architectures import Kind, resnet152_places365
from teachers.preprocessing import Preprocessing, prepare_frames
from teachers.storage import load_teacher

__all__ = ["SceneTeacher", "load", "resnet152_places365"]


class SceneTeacher:
    """Classify the scene of frames; a `pipeline.label.teacher.SceneTeacherProtocol`.

    Args:
        network: float [B, 3, h, w] -> logits [B, 365], on the device on which frames come.
        preprocessing: how frames become its input.
        precision: "float32" or "bfloat16" (autocast).
        name: architecture, as shown to people.
        sha256: digest of the weights file.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Preprocessing,
        precision: str = "float32",
        name: str,
        sha256: str = "",
    ) -> None:
        self.network = ready_for_inference(network, precision)
        self.preprocessing = preprocessing
        self.precision = precision
        self.name = name
        self.sha256 = sha256

    @torch.inference_mode()
    def predict_logits(self, frames_BHWC: Tensor) -> Tensor:
        """Score the scenes: uint8 RGB [B, H, W, 3] to float32 [B, 365]."""
        x_B3hw = prepare_frames(frames_BHWC, self.preprocessing)
        with autocast(self.precision, x_B3hw.device):
            logits: Tensor = self.network(x_B3hw)
        return logits.float()

    @torch.inference_mode()
    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        """Classify scenes: uint8 RGB [B, H, W, 3] to the five best of 365 classes, best first."""
        top = self.predict_logits(frames_BHWC).softmax(dim=1).topk(NUM_SCENE_LABELS, dim=1)
        return SceneLabels(indices_BK=top.indices, probs_BK=top.values)


def load(weights_path: Path, *, device: torch.device, precision: str) -> SceneTeacher:
    """Make the teacher of a teacher file; raise TeacherError where the file is missing or not what it should be."""
    network, card = load_teacher(weights_path, Kind.SCENE)
    return SceneTeacher(
        network.to(device),
        preprocessing=card.preprocessing,
        precision=precision,
        name=card.architecture,
        sha256=card.sha256,
    )
