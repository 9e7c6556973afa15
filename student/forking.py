"""Where a backbone forks into the trunk and the three branches (paper Figure 2, Table 1)."""

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from student.backbones import BlockWidths, CutBackbone
from student.branches import BlockChain, Branches, NamedBlock, OutputTap, Tap
from student.options import NUM_CBI, CbiPlaces, CbiWidth, Fork

AUXILIARIES = ("human", "scene")


@dataclass(frozen=True)
class ForkedBackbone:
    """A backbone as trunk and three branches.

    Attributes:
        trunk: the shared blocks.
        branches: the forked blocks, a copy in each branch, all with the same start; a branch that is left out is empty.
        num_in_res4: how many of a branch's blocks, its first, are of res4.
        cbi_channels: channels of the map that CBI joins, by the position of the block in the branch.
        tap: where these blocks are opened.
        feature_dim: d.
    """

    trunk: BlockChain
    branches: Branches
    num_in_res4: int
    cbi_channels: dict[int, int]
    tap: Tap
    feature_dim: int


def fork(
    backbone: CutBackbone,
    *,
    at: Fork,
    cbi_places: CbiPlaces,
    cbi_width: CbiWidth,
    auxiliary: Collection[str] = AUXILIARIES,
) -> ForkedBackbone:
    """Fork a backbone into trunk and branches; see `KINetOptions` for the choices. `auxiliary` names the branches.

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

    def channels(widths: BlockWidths) -> int:
        return widths.tapped if cbi_width == "bottleneck" else widths.output

    cbi_channels = {num_forked - 1 - back: channels(backbone.res4_widths[-1 - back]) for back in range(num_in_res4)}
    cbi_channels |= {len(forked) - 1 - back: channels(backbone.res5_widths[-1 - back]) for back in range(num_in_res5)}
    return ForkedBackbone(
        trunk=BlockChain(backbone.stem + backbone.res4[:cut]),
        branches=Branches(
            action=BlockChain(forked),
            human=_copied(forked if "human" in auxiliary else ()),
            scene=_copied(forked if "scene" in auxiliary else ()),
        ),
        num_in_res4=num_forked,
        cbi_channels=dict(sorted(cbi_channels.items())),
        tap=tap,
        feature_dim=backbone.feature_dim,
    )


def _copied(blocks: Sequence[NamedBlock]) -> BlockChain:
    return BlockChain([block._replace(module=copy.deepcopy(block.module)) for block in blocks])
