"""The networks a teacher file may name, each built by its own function."""

from enum import StrEnum

from torch import nn
from torchvision import models

from manifests.lip import PART_NAMES
from pipeline.errors import TeacherError
from pipeline.label.teacher import NUM_SCENE_CLASSES
from teachers.preprocessing import Preprocessing
from teachers.psp import pspnet_densenet121, pspnet_squeezenet1_1

NUM_LIP_CLASSES = len(PART_NAMES)


class Kind(StrEnum):
    """What a teacher teaches."""

    HUMAN = "human"
    SCENE = "scene"


ARCHITECTURES = {
    Kind.HUMAN: ("pspnet_densenet121", "pspnet_squeezenet1_1"),
    Kind.SCENE: ("resnet152", "resnet50", "resnet18", "squeezenet1_1"),
}
"""The paper's network first, then smaller ones for smaller machines."""

CLASS_COUNTS = {Kind.HUMAN: (NUM_LIP_CLASSES, 2), Kind.SCENE: (NUM_SCENE_CLASSES,)}
"""Head widths that have a meaning: 20 LIP classes or background and person; always all of Places365."""


def resnet152_places365() -> nn.Module:
    """Build the paper's scene teacher: ResNet-152 (stride on the 3x3) with 365 classes."""
    return models.resnet152(weights=None, num_classes=NUM_SCENE_CLASSES)


def build_network(kind: Kind, architecture: str, num_classes: int) -> nn.Module:
    """Build a teacher's network with fresh weights.

    Raises:
        TeacherError: an architecture or head width that this kind of teacher does not have.
    """
    if num_classes not in CLASS_COUNTS[kind]:
        expected = " or ".join(map(str, CLASS_COUNTS[kind]))
        raise TeacherError(f"{kind} teacher {architecture}: {num_classes} classes, expected {expected}")
    match kind, architecture:
        case Kind.HUMAN, "pspnet_densenet121":
            return pspnet_densenet121(num_classes)
        case Kind.HUMAN, "pspnet_squeezenet1_1":
            return pspnet_squeezenet1_1(num_classes)
        case Kind.SCENE, "resnet152":
            return resnet152_places365()
        case Kind.SCENE, "resnet50":
            return models.resnet50(weights=None, num_classes=num_classes)
        case Kind.SCENE, "resnet18":
            return models.resnet18(weights=None, num_classes=num_classes)
        case Kind.SCENE, "squeezenet1_1":
            return models.squeezenet1_1(weights=None, num_classes=num_classes)
        case _:
            known = ", ".join(ARCHITECTURES[kind])
            raise TeacherError(f"{kind} teacher: unknown architecture {architecture!r}; known are {known}")


def default_preprocessing(kind: Kind, input_size: tuple[int, int] | None = None) -> Preprocessing:
    """Choose the usual preprocessing, for the given network input (height, width) where one is given.

    Human: the whole frame, resized to 256 x 256 (LIP practice). Scene: resized so that its centre of 224/256 is the
    input (224 x 224 from 256 x 256, the Places365 standard).
    """
    if kind == Kind.HUMAN:
        height, width = input_size or (256, 256)
        return Preprocessing(height=height, width=width)
    height, width = input_size or (224, 224)
    return Preprocessing(
        height=round(height * 256 / 224), width=round(width * 256 / 224), crop_height=height, crop_width=width
    )
