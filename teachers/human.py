"""The human teacher: who of the pixels belongs to a person.

Shapes: B frames, H and W the frame's size, K classes (0 is background, all others are parts of a person).
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from manifests.lip import FLIP_PAIRS
from pipeline.training.precision import autocast, ready_for_inference
from teachers.architectures import NUM_LIP_CLASSES
from teachers.kinds import Kind
from teachers.preprocessing import Preprocessing, iterate_views, over_scales, with_mirror_image
from teachers.psp import pspnet_densenet121, pspnet_squeezenet1_1
from teachers.storage import load_teacher

__all__ = [
    "HumanTeacher",
    "load",
    "load_flip_averaged",
    "load_multi_scale",
    "merge_parts",
    "pspnet_densenet121",
    "pspnet_squeezenet1_1",
]

BACKGROUND = 0


def merge_parts(part_map: Tensor) -> Tensor:
    """Merge a map of part ids (any shape, 0 background) to a mask of the person: "any part"; bool, same shape."""
    return part_map != BACKGROUND


class HumanTeacher:
    """Segment people in frames; a `pipeline.label.teacher.HumanTeacherProtocol`.

    Args:
        network: the parser, a module that returns `teachers.psp.PspOutputs`, on the device on which frames come.
        preprocessing: how frames become its input, and which views of a frame are averaged.
        precision: "float32" or "bfloat16" (autocast).
        name: architecture, as shown to people.
        sha256: digest of the weights file.
        person_classes: the classes that are people; None for all but 0.
        parses_lip: the classes are LIP's 20 parts.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        preprocessing: Preprocessing,
        precision: str = "float32",
        name: str,
        sha256: str = "",
        person_classes: tuple[int, ...] | None = None,
        parses_lip: bool = False,
    ) -> None:
        self.network = ready_for_inference(network, precision)
        self.preprocessing = preprocessing
        self.precision = precision
        # What counts as a person decides the labels, so it stands in their fingerprint with the name.
        self.name = name if person_classes is None else f"{name} person={','.join(map(str, person_classes))}"
        self.sha256 = sha256
        self.person_classes = person_classes
        self.parses_lip = parses_lip

    def compile(self) -> None:
        """Let torch compile the network for the sizes it meets, at the first batch of each size."""
        self.network.compile(dynamic=False)

    @torch.inference_mode()
    def predict_probabilities(self, frames_BHWC: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Give each pixel's class probabilities: uint8 RGB [B, H, W, 3] to float32 [B, K, H, W].

        With `size` the answer has this height and width instead of the frames'.

        Logits, not probabilities, are interpolated from the network's input size to the frame's; probabilities are
        averaged over views.
        """
        height, width = size or frames_BHWC.shape[1:3]
        views = [
            self._predict_view(view.x_B3hw, (height, width), view.mirrored)
            for view in iterate_views(frames_BHWC, self.preprocessing)
        ]
        return views[0] if len(views) == 1 else torch.stack(views).mean(0)

    def _predict_view(self, x_B3hw: Tensor, size: tuple[int, int], mirrored: bool) -> Tensor:
        with autocast(self.precision, x_B3hw.device):
            logits_BKhw = self.network(x_B3hw).logits
        logits_BKHW = F.interpolate(logits_BKhw.float(), size=size, mode="bilinear", align_corners=False)
        if mirrored:
            logits_BKHW = logits_BKHW.flip(3)
            if self.parses_lip:
                logits_BKHW = swap_sides(logits_BKHW)
        return logits_BKHW.softmax(dim=1)

    def person_probability(self, probs_BKHW: Tensor) -> Tensor:
        """Give each pixel's probability of being a person: [B, K, H, W] to [B, H, W]."""
        if self.person_classes is None:
            return 1 - probs_BKHW[:, BACKGROUND]
        return probs_BKHW[:, list(self.person_classes)].sum(1)

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """Segment people: uint8 RGB [B, H, W, 3] to bool [B, H, W], where the probability of a person is >= .5."""
        return self.person_probability(self.predict_probabilities(frames_BHWC)) >= 0.5


def swap_sides(logits_BKHW: Tensor) -> Tensor:
    """Exchange the left and right parts of LIP, which a mirror image shows the wrong way round."""
    order = list(range(NUM_LIP_CLASSES))
    for left, right in FLIP_PAIRS:
        order[left], order[right] = right, left
    return logits_BKHW[:, order]


def load(weights_path: Path, *, device: torch.device, precision: str) -> HumanTeacher:
    """Make the teacher of a teacher file; raise TeacherError where the file is missing or not what it should be."""
    network, card = load_teacher(weights_path, Kind.HUMAN)
    return HumanTeacher(
        network.to(device),
        preprocessing=card.preprocessing,
        precision=precision,
        name=card.architecture,
        sha256=card.sha256,
        person_classes=card.person_classes,
        parses_lip=card.person_classes is None and card.classes == NUM_LIP_CLASSES,
    )


def load_flip_averaged(weights_path: Path, *, device: torch.device, precision: str) -> HumanTeacher:
    """As `load`; predictions for a frame and its mirror image are averaged, at twice the cost."""
    teacher = load(weights_path, device=device, precision=precision)
    teacher.preprocessing = with_mirror_image(teacher.preprocessing)
    return teacher


def load_multi_scale(weights_path: Path, *, device: torch.device, precision: str) -> HumanTeacher:
    """As `load_flip_averaged`, at three quarters, all and five quarters of the input size: about 6.4 times the cost."""
    teacher = load(weights_path, device=device, precision=precision)
    teacher.preprocessing = over_scales(teacher.preprocessing)
    return teacher
