"""The networks a teacher file may name, each built by its own function."""

from torch import nn
from torchvision import models

from manifests.lip import PART_NAMES
from pipeline.errors import TeacherError
from pipeline.label.teacher import NUM_SCENE_CLASSES
from teachers.kinds import Kind
from teachers.lip_psp import pspnet_lip_densenet121
from teachers.preprocessing import Preprocessing
from teachers.psp import pspnet_densenet121, pspnet_squeezenet1_1
from teachers.resnets import (
    resnet50_caffe,
    resnet50_ceil,
    resnet101_caffe,
    resnet101_ceil,
    resnet152_caffe,
    resnet152_ceil,
)
from teachers.semseg_psp import pspnet_semseg_resnet50, pspnet_semseg_resnet101

NUM_LIP_CLASSES = len(PART_NAMES)


ARCHITECTURES = {
    Kind.HUMAN: ("pspnet_densenet121", "pspnet_squeezenet1_1"),
    Kind.SCENE: ("resnet152", "resnet50", "resnet18", "squeezenet1_1"),
}
"""What is trained here: the paper's network first, then smaller ones for smaller machines."""

IMPORTED_ARCHITECTURES = {
    Kind.HUMAN: ("pspnet_lip_densenet121", "pspnet_semseg_resnet50", "pspnet_semseg_resnet101"),
    Kind.SCENE: (
        "resnet152_caffe",
        "resnet101_caffe",
        "resnet50_caffe",
        "resnet152_ceil",
        "resnet101_ceil",
        "resnet50_ceil",
    ),
}
"""What others published; torchvision's classifiers come on top, by the names of their builders."""

# Their builders give more than one tensor.
_NO_PLAIN_CLASSIFIERS = frozenset({"googlenet", "inception_v3"})

DEFAULT_CLASSES = {Kind.HUMAN: NUM_LIP_CLASSES, Kind.SCENE: NUM_SCENE_CLASSES}


def torchvision_classifiers() -> tuple[str, ...]:
    """List the builders of torchvision whose networks can be scene teachers."""
    return tuple(name for name in models.list_models(module=models) if name not in _NO_PLAIN_CLASSIFIERS)


def list_architectures(kind: Kind) -> str:
    """Say, for a message, which architectures a kind of teacher may have."""
    known = ", ".join(ARCHITECTURES[kind] + IMPORTED_ARCHITECTURES[kind])
    return known if kind == Kind.HUMAN else f"{known} and torchvision's classifiers"


def check_classes(kind: Kind, architecture: str, num_classes: int, person_classes: tuple[int, ...] | None) -> None:
    """Check that a head's width has a meaning.

    20 LIP classes or background and person; any other parser must say which of its classes are people. A scene teacher
    has all of Places365.

    Raises:
        TeacherError: another width, or person classes that the head does not have.
    """
    if kind == Kind.SCENE:
        if num_classes != NUM_SCENE_CLASSES or person_classes is not None:
            raise TeacherError(f"scene teacher {architecture}: {num_classes} classes, expected {NUM_SCENE_CLASSES}")
        return
    if person_classes is None:
        if num_classes not in (NUM_LIP_CLASSES, 2):
            raise TeacherError(
                f"human teacher {architecture}: {num_classes} classes, expected {NUM_LIP_CLASSES} or 2; "
                "for other lists of classes say which are people with --person-classes"
            )
    elif (
        not person_classes
        or not set(person_classes) < set(range(num_classes))
        or len(set(person_classes)) < len(person_classes)
    ):
        raise TeacherError(
            f"human teacher {architecture}: person classes {list(person_classes)}, "
            f"expected some of 0 to {num_classes - 1}, each once"
        )


def resnet152_places365() -> nn.Module:
    """Build the paper's scene teacher: ResNet-152 (stride on the 3x3) with 365 classes."""
    return models.resnet152(weights=None, num_classes=NUM_SCENE_CLASSES)


def build_network(kind: Kind, architecture: str, num_classes: int) -> nn.Module:
    """Build a teacher's network with fresh weights.

    Raises:
        TeacherError: an architecture that this kind of teacher does not have.
    """
    match kind, architecture:
        case Kind.HUMAN, "pspnet_densenet121":
            return pspnet_densenet121(num_classes)
        case Kind.HUMAN, "pspnet_squeezenet1_1":
            return pspnet_squeezenet1_1(num_classes)
        case Kind.HUMAN, "pspnet_lip_densenet121":
            return pspnet_lip_densenet121(num_classes)
        case Kind.HUMAN, "pspnet_semseg_resnet50":
            return pspnet_semseg_resnet50(num_classes)
        case Kind.HUMAN, "pspnet_semseg_resnet101":
            return pspnet_semseg_resnet101(num_classes)
        case Kind.SCENE, "resnet152_caffe":
            return resnet152_caffe(num_classes)
        case Kind.SCENE, "resnet101_caffe":
            return resnet101_caffe(num_classes)
        case Kind.SCENE, "resnet50_caffe":
            return resnet50_caffe(num_classes)
        case Kind.SCENE, "resnet152_ceil":
            return resnet152_ceil(num_classes)
        case Kind.SCENE, "resnet101_ceil":
            return resnet101_ceil(num_classes)
        case Kind.SCENE, "resnet50_ceil":
            return resnet50_ceil(num_classes)
        case Kind.SCENE, name if name in torchvision_classifiers():
            return models.get_model(name, weights=None, num_classes=num_classes)
        case _:
            raise TeacherError(
                f"{kind} teacher: unknown architecture {architecture!r}; known are {list_architectures(kind)}"
            )


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
