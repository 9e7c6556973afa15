"""The human teacher: who of the pixels belongs to a person.

Shapes: B frames, H and W the frame's size, K classes (0 is background, all others are parts of a person).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.training.precision import autocast, ready_for_inference
from teachers.architectures import Kind
from teachers.preprocessing import Preprocessing, prepare_frames
from teachers.psp import PspNet, pspnet_densenet121, pspnet_squeezenet1_1
from teachers.storage import load_teacher

__all__ = ["HumanTeacher", "load", "merge_parts", "pspnet_densenet121", "pspnet_squeezenet1_1"]

BACKGROUND = 0


def merge_parts(part_map: Tensor) -> Tensor:
    """Merge a map of part ids (any shape, 0 background) to a mask of the person: "any part"; bool, same shape."""
    return part_map != BACKGROUND


class HumanTeacher:
    """Segment people in frames; a `pipeline.label.teacher.HumanTeacherProtocol`.

    Args:
        network: the parser, on the device on which frames come, in evaluation mode.
        preprocessing: how frames become its input.
        precision: "float32" or "bfloat16" (autocast).
        name: architecture, as shown to people.
        sha256: digest of the weights file.
    """

    def __init__(
        self, network: PspNet, *, preprocessing: Preprocessing, precision: str = "float32", name: str, sha256: str = ""
    ) -> None:
        self.network = ready_for_inference(network, precision)
        self.preprocessing = preprocessing
        self.precision = precision
        self.name = name
        self.sha256 = sha256

    @torch.inference_mode()
    def predict_probabilities(self, frames_BHWC: Tensor) -> Tensor:
        """Give each pixel's class probabilities: uint8 RGB [B, H, W, 3] to float32 [B, K, H, W].

        Logits, not probabilities, are interpolated from the network's input size to the frame's.
        """
        x_B3hw = prepare_frames(frames_BHWC, self.preprocessing)
        with autocast(self.precision, x_B3hw.device):
            logits_BKhw = self.network(x_B3hw).logits
        logits_BKHW = F.interpolate(
            logits_BKhw.float(), size=frames_BHWC.shape[1:3], mode="bilinear", align_corners=False
        )
        return logits_BKHW.softmax(dim=1)

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment people: uint8 RGB [B, H, W, 3] to bool [B, H, W], where 1 - P(background) >= .5."""
        return 1 - self.predict_probabilities(frames_BHWC)[:, BACKGROUND] >= 0.5


def load(weights_path: Path, *, device: torch.device, precision: str) -> HumanTeacher:
    """Make the teacher of a teacher file; raise TeacherError where the file is missing or not what it should be."""
    network, card = load_teacher(weights_path, Kind.HUMAN)
    assert isinstance(network, PspNet)  # every human architecture is one
    return HumanTeacher(
        network.to(device),
        preprocessing=card.preprocessing,
        precision=precision,
        name=card.architecture,
        sha256=card.sha256,
    )
