"""Choose a student by name, the one place where names become networks."""

from typing import TYPE_CHECKING, TypeAlias

from student.backbones import (
    cut_bninception,
    cut_inceptionv3,
    cut_resnet18,
    cut_resnet50,
    cut_resnet200,
    cut_squeezenet1_1,
)
from student.catalogue import BACKBONES, MODELS
from student.heads import DEFAULT_DROPOUT
from student.kinet import DEFAULT_OPTIONS, KINET_BUILDERS, KINet
from student.options import KINetOptions, check_choice
from student.seeding import seeded
from student.tsn import TSN, TSN_BUILDERS

if TYPE_CHECKING:
    from student.fixed import FixedBranchKINet, FixedTeachers

_CUTS = {
    "resnet50": cut_resnet50,
    "resnet200": cut_resnet200,
    "bninception": cut_bninception,
    "inceptionv3": cut_inceptionv3,
    "resnet18": cut_resnet18,
    "squeezenet1_1": cut_squeezenet1_1,
}

Student: TypeAlias = "KINet | TSN | FixedBranchKINet"


def build_student(
    *,
    model: str,
    backbone: str,
    num_classes: int,
    num_segments: int = 3,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    in_channels: int = 3,
    teachers: "FixedTeachers | None" = None,
    seed: int = 0,
) -> Student:
    """Build a student with a random start.

    Args:
        model: "kinet", "tsn", or "kinet-fixed", whose auxiliary branches are the teachers themselves.
        backbone: one of `student.catalogue.BACKBONES`.
        num_classes: of the action data set.
        num_segments: frames of a training sample, and of one graph.
        dropout: probability before the action classifier.
        options: the readings of the paper; TSN has none.
        in_channels: of TSN's images; 10 for optical flow.
        teachers: of "kinet-fixed"; None gives it the paper's two with random weights, to be counted.
        seed: of the random start.

    Raises:
        ValueError: an unknown name, the message gives the nearest; or KINet for another input than RGB.
    """
    check_choice("model", model, MODELS)
    check_choice("backbone", backbone, BACKBONES)
    if model != "tsn" and in_channels != 3:
        raise ValueError(f"in_channels: expected 3 for {model}, which learns from RGB, found {in_channels}; choose tsn")
    match model:
        case "tsn":
            return TSN_BUILDERS[backbone](
                num_classes, num_segments, dropout=dropout, in_channels=in_channels, seed=seed
            )
        case "kinet":
            return KINET_BUILDERS[backbone](num_classes, num_segments, dropout=dropout, options=options, seed=seed)
    # The teachers' libraries take seconds to import; the other students do without them.
    from student.fixed import make_fixed_kinet, paper_teachers

    with seeded(seed):
        cut = _CUTS[backbone]()
        return make_fixed_kinet(cut, num_classes, num_segments, dropout, options, teachers or paper_teachers())
