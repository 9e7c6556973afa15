"""The scene teacher: which of the 365 Places365 classes a frame shows.

Shapes: B frames, H and W the frame's size, K = 5 best classes.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.label.teacher import NUM_SCENE_LABELS, SceneLabels
from pipeline.training.precision import autocast, ready_for_inference
from teachers.architectures import resnet152_places365
from teachers.kinds import Kind
from teachers.preprocessing import Preprocessing, iterate_views, over_scales, with_mirror_image
from teachers.storage import load_teacher

__all__ = ["SceneTeacher", "load", "load_flip_averaged", "load_multi_scale", "resnet152_places365"]


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

    def compile(self) -> None:
        """Let torch compile the network for the sizes it meets, at the first batch of each size."""
        self.network.compile(dynamic=False)

    @torch.inference_mode()
    def predict_probabilities(self, frames_BHWC: Tensor) -> Tensor:
        """Give the scenes' probabilities, averaged over views: uint8 RGB [B, H, W, 3] to float32 [B, 365]."""
        views = [self.classify(view.x_B3hw) for view in iterate_views(frames_BHWC, self.preprocessing)]
        return views[0] if len(views) == 1 else torch.stack(views).mean(0)

    @torch.inference_mode()
    def classify(self, x_B3hw: Tensor) -> Tensor:
        """Give the probabilities of network input: float [B, 3, h, w] to float32 [B, 365]."""
        with autocast(self.precision, x_B3hw.device):
            logits: Tensor = self.network(x_B3hw)
        return logits.float().softmax(dim=1)

    @torch.inference_mode()
    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        """Classify scenes: uint8 RGB [B, H, W, 3] to the five best of 365 classes, best first."""
        top = self.predict_probabilities(frames_BHWC).topk(NUM_SCENE_LABELS, dim=1)
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


def load_flip_averaged(weights_path: Path, *, device: torch.device, precision: str) -> SceneTeacher:
    """As `load`; predictions for a frame and its mirror image are averaged, at twice the cost."""
    teacher = load(weights_path, device=device, precision=precision)
    teacher.preprocessing = with_mirror_image(teacher.preprocessing)
    return teacher


def load_multi_scale(weights_path: Path, *, device: torch.device, precision: str) -> SceneTeacher:
    """As `load_flip_averaged`, at three quarters, all and five quarters of the input size: about 6.4 times the cost."""
    teacher = load(weights_path, device=device, precision=precision)
    teacher.preprocessing = over_scales(teacher.preprocessing)
    return teacher
