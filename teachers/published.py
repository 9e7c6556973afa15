"""What others published for networks of these kinds, to show beside our own scores."""

from dataclasses import dataclass

from teachers.kinds import Kind


@dataclass(frozen=True)
class Published:
    """One published result.

    Attributes:
        architecture: as a teacher file names it.
        data: on what it was scored.
        scores: by the names that `teachers.evaluation` gives.
        source: where the figures stand.
    """

    architecture: str
    data: str
    scores: dict[str, float]
    source: str


_LIP_SOURCE = "README of github.com/Yukun-Huang/Single-Human-Parsing-LIP"
_PLACES_SOURCE = "README of github.com/CSAILVision/places365"

PUBLISHED = {
    Kind.HUMAN: (
        Published(
            "pspnet_lip_densenet121",
            "LIP val",
            {"pixel_accuracy": 0.826, "mean_accuracy": 0.606, "miou": 0.519},
            _LIP_SOURCE,
        ),
    ),
    Kind.SCENE: (
        Published("resnet152", "Places365 val", {"top1": 0.5474, "top5": 0.8498}, _PLACES_SOURCE),
        Published("resnet152_caffe", "Places365 val, 10 crops", {"top5": 0.8508}, _PLACES_SOURCE),
    ),
}
