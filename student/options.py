"""The readings of the paper that KINet can be built by, each one a named option.

The defaults are the project's reading; the other values are the ones that the paper's text leaves room for.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Auxiliary = Literal["both", "human", "scene"]
CbiPlaces = Literal["none", "1@res4", "2@res4", "1@res4+1@res5", "2@res4+1@res5"]
CbiWidth = Literal["bottleneck", "full"]
CbiGate = Literal["residual_auxiliary", "residual_action", "sigmoid"]
CbiOutput = Literal["action", "all"]
Fork = Literal["before_last_block", "before_res4", "after_res4"]
Relation = Literal["none", "dot", "embedded", "concatenation"]
AkgMask = Literal["human_scene", "action_only"]
AkgMaskPlace = Literal["after_softmax", "before_softmax"]
AkgStart = Literal["identity", "xavier"]

NUM_CBI: dict[str, tuple[int, int]] = {
    "none": (0, 0),
    "1@res4": (1, 0),
    "2@res4": (2, 0),
    "1@res4+1@res5": (1, 1),
    "2@res4+1@res5": (2, 1),
}
"""How many CBI modules a choice of places has in res4 and in res5."""


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Raise ValueError, naming the nearest choice, where `value` is none of `choices`."""
    known = list(choices)
    if value in known:
        return
    nearest = difflib.get_close_matches(str(value), known, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"{name}: expected one of {', '.join(known)}, found {value!r}{hint}")


@dataclass(frozen=True)
class KINetOptions:
    """How KINet is put together (paper sections 3.3 and 3.4, Table 1).

    Attributes:
        auxiliary: the tasks learned beside the action. With one of them alone there is nothing for CBI or a graph to
            join (Table 1's "Baseline+human" and "Baseline+scene").
        fork: where the trunk ends and the branches begin. "before_last_block" of res4 (one block earlier when two CBI
            modules stand in res4), "before_res4", or "after_res4" (no CBI in res4 is then possible).
        cbi_places: the blocks whose features CBI joins, in the words of Table 1.
        cbi_width: "bottleneck" joins the outputs of the block's 3x3 convolution, inside the block; "full" joins the
            block's outputs (the literal text, 15 M parameters more for ResNet-50). Backbones whose blocks have no
            bottleneck know only the block's output, whichever is asked for.
        cbi_gate: "residual_auxiliary" is ReLU(BN(a * h) + h), "residual_action" is ReLU(BN(a * h) + a), "sigmoid" is
            a * sigmoid(BN(h)).
        cbi_output: the branches that go on with joined features: "action" alone, or "all", where a further CBI for each
            auxiliary branch joins the other two to it.
        akg_relation: f(x_a, x_b) of the graph's edges; "none" leaves the graph out and classifies the action features.
        akg_scaled: divide the relation by sqrt(d) before the softmax; eq. 4 does not.
        akg_mask: the edges set to 0: those between human and scene nodes, or all that touch no action node.
        akg_mask_place: eq. 5 masks the softmax's result; "before_softmax" renormalises over the edges left.
        akg_residual: add X to the graph's output before the ReLU.
        akg_start: W starts as the identity, so that pre-trained features pass at first, or by Xavier's rule.

    Raises:
        ValueError: an unknown choice, or choices that contradict each other.
    """

    auxiliary: Auxiliary = "both"
    fork: Fork = "before_last_block"
    cbi_places: CbiPlaces = "1@res4+1@res5"
    cbi_width: CbiWidth = "bottleneck"
    cbi_gate: CbiGate = "residual_auxiliary"
    cbi_output: CbiOutput = "action"
    akg_relation: Relation = "dot"
    akg_scaled: bool = False
    akg_mask: AkgMask = "human_scene"
    akg_mask_place: AkgMaskPlace = "after_softmax"
    akg_residual: bool = False
    akg_start: AkgStart = "identity"

    def __post_init__(self) -> None:
        check_choice("auxiliary", self.auxiliary, get_args(Auxiliary))
        check_choice("fork", self.fork, get_args(Fork))
        check_choice("cbi_places", self.cbi_places, get_args(CbiPlaces))
        check_choice("cbi_width", self.cbi_width, get_args(CbiWidth))
        check_choice("cbi_gate", self.cbi_gate, get_args(CbiGate))
        check_choice("cbi_output", self.cbi_output, get_args(CbiOutput))
        check_choice("akg_relation", self.akg_relation, get_args(Relation))
        check_choice("akg_mask", self.akg_mask, get_args(AkgMask))
        check_choice("akg_mask_place", self.akg_mask_place, get_args(AkgMaskPlace))
        check_choice("akg_start", self.akg_start, get_args(AkgStart))
        if self.fork == "after_res4" and NUM_CBI[self.cbi_places][0] > 0:
            raise ValueError(
                f"cbi_places {self.cbi_places!r} stands in res4, but fork 'after_res4' leaves res4 to the trunk; "
                "choose cbi_places 'none' or an earlier fork"
            )
        if self.auxiliary != "both" and (self.cbi_places != "none" or self.akg_relation != "none"):
            raise ValueError(
                f"auxiliary {self.auxiliary!r} leaves one branch out, but cbi_places {self.cbi_places!r} and "
                f"akg_relation {self.akg_relation!r} join three; set both to 'none', or auxiliary to 'both'"
            )
