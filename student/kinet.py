"""KINet by variants: one builder for each backbone (the network itself is `student.three_branches`)."""

from student.akg import ActionKnowledgeGraph
from student.backbones import (
    CutBackbone,
    cut_bninception,
    cut_inceptionv3,
    cut_resnet18,
    cut_resnet50,
    cut_resnet200,
    cut_squeezenet1_1,
)
from student.cbi import AuxiliaryIntegration, CrossBranchIntegration
from student.decoder import HumanDecoder
from student.forking import AUXILIARIES, fork
from student.heads import DEFAULT_DROPOUT, make_classifier
from student.options import KINetOptions
from student.seeding import seeded
from student.three_branches import KINet

__all__ = [
    "KINET_BUILDERS",
    "KINet",
    "kinet_bninception",
    "kinet_inceptionv3",
    "kinet_resnet18",
    "kinet_resnet50",
    "kinet_resnet200",
    "kinet_squeezenet1_1",
    "make_akg",
    "make_kinet",
]

NUM_SCENE_CLASSES = 365
DEFAULT_OPTIONS = KINetOptions()


def kinet_resnet50(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on ResNet-50: 61.7 M parameters in inference form for 400 classes (paper Table 2: 56.9 M).

    Args:
        num_classes: K.
        num_segments: T, the frames of one graph.
        dropout: probability before the action classifier.
        options: the readings of the paper.
        seed: of the random start; the three branches start equal.
    """
    with seeded(seed):
        return make_kinet(cut_resnet50(), num_classes, num_segments, dropout, options)


def kinet_resnet200(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on ResNet-200; arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return make_kinet(cut_resnet200(), num_classes, num_segments, dropout, options)


def kinet_bninception(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on BN-Inception (paper Table 3); arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return make_kinet(cut_bninception(), num_classes, num_segments, dropout, options)


def kinet_inceptionv3(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on Inception V3, for frames of 299 x 299 (Table 3); arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return make_kinet(cut_inceptionv3(), num_classes, num_segments, dropout, options)


def kinet_resnet18(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on ResNet-18; arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return make_kinet(cut_resnet18(), num_classes, num_segments, dropout, options)


def kinet_squeezenet1_1(
    num_classes: int,
    num_segments: int = 3,
    *,
    dropout: float = DEFAULT_DROPOUT,
    options: KINetOptions = DEFAULT_OPTIONS,
    seed: int = 0,
) -> KINet:
    """Build KINet on SqueezeNet 1.1, for small machines; arguments as of `kinet_resnet50`."""
    with seeded(seed):
        return make_kinet(cut_squeezenet1_1(), num_classes, num_segments, dropout, options)


KINET_BUILDERS = {
    "resnet50": kinet_resnet50,
    "resnet200": kinet_resnet200,
    "bninception": kinet_bninception,
    "inceptionv3": kinet_inceptionv3,
    "resnet18": kinet_resnet18,
    "squeezenet1_1": kinet_squeezenet1_1,
}
"""By the backbone's name; `student.build.build_student` builds by them."""


def make_kinet(cut: CutBackbone, num_classes: int, num_segments: int, dropout: float, options: KINetOptions) -> KINet:
    """Put KINet together from a backbone; arguments as of `kinet_resnet50`. The start is torch's global generator's."""
    tasks = AUXILIARIES if options.auxiliary == "both" else (options.auxiliary,)
    forked = fork(
        cut,
        at=options.fork,
        cbi_places=options.cbi_places,
        cbi_width=options.cbi_width,
        auxiliary=tasks,
    )
    widths = forked.cbi_channels.items()
    return KINet(
        trunk=forked.trunk,
        branches=forked.branches,
        cbi={position: CrossBranchIntegration(channels, gate=options.cbi_gate) for position, channels in widths},
        tap=forked.tap,
        akg=make_akg(forked.feature_dim, num_segments, options),
        action_classifier=make_classifier(forked.feature_dim, num_classes),
        human_decoder=HumanDecoder(forked.feature_dim) if "human" in tasks else None,
        scene_classifier=make_classifier(forked.feature_dim, NUM_SCENE_CLASSES) if "scene" in tasks else None,
        normalisation=cut.normalisation,
        auxiliary_cbi={
            position: AuxiliaryIntegration(channels, gate=options.cbi_gate)
            for position, channels in widths
            if options.cbi_output == "all"
        },
        dropout=dropout,
    )


def make_akg(feature_dim: int, num_segments: int, options: KINetOptions) -> ActionKnowledgeGraph | None:
    """Make the graph that the options ask for; None where they ask for none."""
    if options.akg_relation == "none":
        return None
    return ActionKnowledgeGraph(
        feature_dim,
        num_segments,
        options.akg_relation,
        scaled=options.akg_scaled,
        mask=options.akg_mask,
        mask_place=options.akg_mask_place,
        residual=options.akg_residual,
        start=options.akg_start,
    )
