"""torchvision networks, cut into the pieces that students are built from.

The networks are torchvision's own modules, never copies of its code. "res4" and "res5" are the paper's names for the
last two stages; a backbone that is no ResNet says here which of its blocks take their place.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torchvision
from torch import nn

from student.branches import BlockChain, BottleneckTap, Branches, NamedBlock, OutputTap, Tap
from student.options import NUM_CBI, CbiPlaces, CbiWidth, Fork


@dataclass(frozen=True)
class StageWidths:
    """Channels at a stage's taps, and at its output."""

    tapped: int
    output: int


@dataclass(frozen=True)
class CutBackbone:
    """A backbone in pieces.

    Attributes:
        name: as on the command line.
        stem: the blocks before res4.
        res4, res5: the blocks of the last two stages.
        tap: where CBI opens a block in its narrow reading.
        res4_widths, res5_widths: channels of the two stages; `tapped` is at `tap`.
    """

    name: str
    stem: tuple[NamedBlock, ...]
    res4: tuple[NamedBlock, ...]
    res5: tuple[NamedBlock, ...]
    tap: Tap
    res4_widths: StageWidths
    res5_widths: StageWidths

    @property
    def feature_dim(self) -> int:
        """Width of the pooled features."""
        return self.res5_widths.output


def cut_resnet50() -> CutBackbone:
    """Cut ResNet-50: res4 is `layer3`, res5 is `layer4`; CBI's narrow tap is inside the bottleneck."""
    return _cut_resnet(
        "resnet50",
        torchvision.models.resnet50(weights=None),
        tap=BottleneckTap(),
        res4_widths=StageWidths(tapped=256, output=1024),
        res5_widths=StageWidths(tapped=512, output=2048),
    )


def cut_resnet18() -> CutBackbone:
    """Cut ResNet-18: its blocks have no bottleneck, so CBI joins their outputs."""
    return _cut_resnet(
        "resnet18",
        torchvision.models.resnet18(weights=None),
        tap=OutputTap(),
        res4_widths=StageWidths(tapped=256, output=256),
        res5_widths=StageWidths(tapped=512, output=512),
    )


def cut_squeezenet1_1() -> CutBackbone:
    """Cut SqueezeNet 1.1: fire6-8 take res4's place, fire9 takes res5's. It has no BatchNorm."""
    features = torchvision.models.squeezenet1_1(weights=None).features
    blocks = tuple(NamedBlock(f"features.{index}", block) for index, block in enumerate(features))
    return CutBackbone(
        name="squeezenet1_1",
        stem=blocks[:9],
        res4=blocks[9:12],
        res5=blocks[12:],
        tap=OutputTap(),
        res4_widths=StageWidths(tapped=512, output=512),
        res5_widths=StageWidths(tapped=512, output=512),
    )


def _cut_resnet(
    name: str, resnet: nn.Module, *, tap: Tap, res4_widths: StageWidths, res5_widths: StageWidths
) -> CutBackbone:
    stages = dict(resnet.named_children())

    def blocks_of(stage: str) -> tuple[NamedBlock, ...]:
        return tuple(NamedBlock(f"{stage}.{key}", block) for key, block in stages[stage].named_children())

    entry = tuple(NamedBlock(key, stages[key]) for key in ("conv1", "bn1", "relu", "maxpool"))
    return CutBackbone(
        name=name,
        stem=entry + blocks_of("layer1") + blocks_of("layer2"),
        res4=blocks_of("layer3"),
        res5=blocks_of("layer4"),
        tap=tap,
        res4_widths=res4_widths,
        res5_widths=res5_widths,
    )


@dataclass(frozen=True)
class ForkedBackbone:
    """A backbone as trunk and three branches.

    Attributes:
        trunk: the shared blocks.
        branches: the forked blocks, a copy in each branch, all with the same start.
        cbi_channels: channels of the map that CBI joins, by the position of the block in the branch.
        tap: where these blocks are opened.
        feature_dim: d.
    """

    trunk: BlockChain
    branches: Branches
    cbi_channels: dict[int, int]
    tap: Tap
    feature_dim: int


def fork(backbone: CutBackbone, *, at: Fork, cbi_places: CbiPlaces, cbi_width: CbiWidth) -> ForkedBackbone:
    """Fork a backbone into trunk and branches (paper Figure 2, Table 1); see `KINetOptions` for the choices.

    Raises:
        ValueError: CBI is asked for in a block that is not in the branches or not in the backbone.
    """
    num_in_res4, num_in_res5 = NUM_CBI[cbi_places]
    num_forked = {"after_res4": 0, "before_last_block": max(1, num_in_res4), "before_res4": len(backbone.res4)}[at]
    if num_in_res4 > num_forked or num_forked > len(backbone.res4) or num_in_res5 > len(backbone.res5):
        raise ValueError(
            f"{backbone.name}: CBI at {cbi_places!r} needs {num_in_res4} forked blocks of res4, "
            f"fork {at!r} gives {min(num_forked, len(backbone.res4))}; choose an earlier fork or fewer places"
        )
    cut = len(backbone.res4) - num_forked
    forked = backbone.res4[cut:] + backbone.res5
    tap = backbone.tap if cbi_width == "bottleneck" else OutputTap()

    def channels(widths: StageWidths) -> int:
        return widths.tapped if cbi_width == "bottleneck" else widths.output

    cbi_channels = {num_forked - 1 - back: channels(backbone.res4_widths) for back in range(num_in_res4)}
    cbi_channels |= {len(forked) - 1 - back: channels(backbone.res5_widths) for back in range(num_in_res5)}
    return ForkedBackbone(
        trunk=BlockChain(backbone.stem + backbone.res4[:cut]),
        branches=Branches(action=BlockChain(forked), human=_copied(forked), scene=_copied(forked)),
        cbi_channels=dict(sorted(cbi_channels.items())),
        tap=tap,
        feature_dim=backbone.feature_dim,
    )


def _copied(blocks: Sequence[NamedBlock]) -> BlockChain:
    return BlockChain([NamedBlock(block.name, copy.deepcopy(block.module)) for block in blocks])
