"""The students that can be named, and the images that each backbone is made for."""

from dataclasses import dataclass

from student.normalisation import CAFFE, CENTRED, IMAGENET, Normalisation

STANDARD_INPUT_SIZE = 224

MODELS = ("kinet", "tsn", "kinet-fixed")


@dataclass(frozen=True, kw_only=True)
class BackboneInput:
    """The images that a backbone was pre-trained with, and those that it can take.

    Attributes:
        title: the network's name in the paper's words.
        normalisation: of its images.
        size: their side in pixels.
        smallest_size, size_step: sides it can take: from the smallest on, and multiples of the step alone.
    """

    title: str
    normalisation: Normalisation = IMAGENET
    size: int = STANDARD_INPUT_SIZE
    smallest_size: int = 1
    size_step: int = 1


BACKBONES = {
    "resnet50": BackboneInput(title="ResNet50"),
    "resnet200": BackboneInput(title="ResNet200"),
    # Its pooling rounds up: the maps of other sides do not fit each other where its paths meet.
    "bninception": BackboneInput(title="BN-Inception", normalisation=CAFFE, smallest_size=32, size_step=32),
    "inceptionv3": BackboneInput(title="Inception V3", normalisation=CENTRED, size=299, smallest_size=75),
    "resnet18": BackboneInput(title="ResNet18"),
    "squeezenet1_1": BackboneInput(title="SqueezeNet 1.1", smallest_size=17),
}


def check_input_size(backbone: str, input_size: int) -> None:
    """Raise ValueError where a backbone of `BACKBONES` cannot take images of this side."""
    made_for = BACKBONES[backbone]
    if input_size < made_for.smallest_size or input_size % made_for.size_step:
        steps = f"a multiple of {made_for.size_step}, " if made_for.size_step > 1 else ""
        raise ValueError(
            f"input_size: {backbone} takes {steps}{made_for.smallest_size} or more, found {input_size}; "
            f"{made_for.size} is its own (--set input_size={made_for.size})"
        )
