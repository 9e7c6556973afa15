"""Choose a student by name, the one place where names become networks."""

from student.kinet import (
    DEFAULT_DROPOUT,
    DEFAULT_OPTIONS,
    KINet,
    kinet_bninception,
    kinet_inceptionv3,
    kinet_resnet18,
    kinet_resnet50,
    kinet_resnet200,
    kinet_squeezenet1_1,
)
from student.options import KINetOptions, check_choice
from student.tsn import (
    TSN,
    tsn_bninception,
    tsn_inceptionv3,
    tsn_resnet18,
    tsn_resnet50,
    tsn_resnet200,
    tsn_squeezenet1_1,
)

MODELS = ("kinet", "tsn")
BACKBONES = ("resnet50", "resnet200", "bninception", "inceptionv3", "resnet18", "squeezenet1_1")

Student = KINet | TSN


def build_student(
    *,
    model: str,
    backbone: str,
    num_classes: int,
    num_segments: int = 3,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    in_channels: int = 3,
    seed: int = 0,
) -> Student:
    """Build a student with a random start.

    Args:
        model: "kinet" or "tsn".
        backbone: one of `BACKBONES`.
        num_classes: of the action data set.
        num_segments: frames of a training sample, and of one graph.
        dropout: probability before the action classifier.
        options: the readings of the paper; TSN has none.
        in_channels: of TSN's images; 10 for optical flow.
        seed: of the random start.

    Raises:
        ValueError: an unknown name, the message gives the nearest; or KINet for another input than RGB.
    """
    check_choice("model", model, MODELS)
    check_choice("backbone", backbone, BACKBONES)
    if model == "kinet" and in_channels != 3:
        raise ValueError(f"in_channels: expected 3 for kinet, which learns from RGB, found {in_channels}; choose tsn")
    match (model, backbone):
        case ("kinet", "resnet50"):
            return kinet_resnet50(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("kinet", "resnet200"):
            return kinet_resnet200(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("kinet", "bninception"):
            return kinet_bninception(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("kinet", "inceptionv3"):
            return kinet_inceptionv3(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("kinet", "resnet18"):
            return kinet_resnet18(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("kinet", "squeezenet1_1"):
            return kinet_squeezenet1_1(num_classes, num_segments, dropout=dropout, options=options, seed=seed)
        case ("tsn", "resnet50"):
            return tsn_resnet50(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
        case ("tsn", "resnet200"):
            return tsn_resnet200(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
        case ("tsn", "bninception"):
            return tsn_bninception(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
        case ("tsn", "inceptionv3"):
            return tsn_inceptionv3(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
        case ("tsn", "resnet18"):
            return tsn_resnet18(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
        case ("tsn", "squeezenet1_1"):
            return tsn_squeezenet1_1(num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed)
    raise AssertionError(f"{model} with {backbone} passed the check, but has no builder")
