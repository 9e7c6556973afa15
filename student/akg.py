"""Action Knowledge Graph: one graph convolution over the segments of the three branches.

Shape suffixes: B clips, T segments per clip, N = 3T nodes, d feature width.

The nodes stand in the paper's order of branches, in blocks of T: action 0..T-1, scene T..2T-1, human 2T..3T-1.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from student.options import AkgMask, AkgMaskPlace, AkgStart, Relation, check_choice


class GraphOutput(NamedTuple):
    """What the graph computes.

    Attributes:
        action: float [B, T, d], the action rows of Z.
        edges: float32 [B, N, N], the softmax of the relations; row a sums to 1.
    """

    action: Tensor
    edges: Tensor


def edge_mask(num_segments: int, mask: AkgMask = "human_scene") -> Tensor:
    """Make I_mask of eq. 5: float32 [N, N], 0 where an edge is cut.

    Args:
        num_segments: T.
        mask: "human_scene" cuts the edges between human and scene nodes (18 for T = 3); "action_only" cuts every edge
            that touches no action node, self edges of human and scene nodes included. The paper's section 3.3 says
            both.
    """
    check_choice("mask", mask, get_args(AkgMask))
    branch_N = torch.arange(3).repeat_interleave(num_segments)
    neither_is_action_NN = (branch_N[:, None] != 0) & (branch_N[None, :] != 0)
    match mask:
        case "human_scene":
            cut_NN = neither_is_action_NN & (branch_N[:, None] != branch_N[None, :])
        case "action_only":
            cut_NN = neither_is_action_NN
    return (~cut_NN).float()


def edge_entropy(edges_BNN: Tensor, num_segments: int) -> Tensor:
    """Measure how spread the action rows' edges are: a scalar, the mean entropy in nats, without gradient.

    Features of 2048 channels make the unscaled dot product large, and its softmax saturates: the entropy then tends
    to 0 and a node hears only one other. It is log(N) where all edges are equal.
    """
    return torch.special.entr(edges_BNN[:, :num_segments].detach()).sum(dim=-1).mean()


class ActionKnowledgeGraph(nn.Module):
    """Let the action features of a clip hear the scene and human features of all its segments.

    ``Z = ReLU((I_mask * G) X W)`` with ``G[a, b] = softmax over b of f(x_a, x_b)`` (eqs. 1-5); the T action rows of Z
    are returned. With this one layer and only action rows read, a mask applied after the softmax cannot change the
    result: an action row has no masked edge.

    The relations and their softmax are computed in float32 whatever the surrounding precision. W has no bias and
    starts as the identity, where the paper says nothing.

    Args:
        dim: d.
        num_segments: T.
        relation: f. "dot": x_a . x_b (eq. 1); "embedded": theta(x_a) . phi(x_b) (eq. 2); "concatenation":
            ReLU(w . [theta(x_a), phi(x_b)]) (eq. 3). theta and phi are d x d matrices.
        scaled: divide f by sqrt(d).
        mask: see `edge_mask`.
        mask_place: mask after the softmax (eq. 5), or before it, so that the edges left sum to 1.
        residual: add X before the ReLU.
        start: of W, "identity" or "xavier".
    """

    mask: Tensor

    def __init__(
        self,
        dim: int,
        num_segments: int,
        relation: Relation = "dot",
        *,
        scaled: bool = False,
        mask: AkgMask = "human_scene",
        mask_place: AkgMaskPlace = "after_softmax",
        residual: bool = False,
        start: AkgStart = "identity",
    ) -> None:
        super().__init__()
        check_choice("relation", relation, [name for name in get_args(Relation) if name != "none"])
        check_choice("mask_place", mask_place, get_args(AkgMaskPlace))
        check_choice("start", start, get_args(AkgStart))
        if num_segments < 1:
            raise ValueError(f"num_segments: expected at least 1, found {num_segments}")
        self.dim = dim
        self.num_segments = num_segments
        self.scaled = scaled
        self.mask_place = mask_place
        self.residual = residual
        self.register_buffer("mask", edge_mask(num_segments, mask), persistent=False)
        self.weight = nn.Linear(dim, dim, bias=False)
        if start == "identity":
            nn.init.eye_(self.weight.weight)
        else:
            nn.init.xavier_uniform_(self.weight.weight)
        self.theta: nn.Module = nn.Identity() if relation == "dot" else nn.Linear(dim, dim, bias=False)
        self.phi: nn.Module = nn.Identity() if relation == "dot" else nn.Linear(dim, dim, bias=False)
        self.pair_weight = nn.Linear(2 * dim, 1, bias=False) if relation == "concatenation" else None

    def forward(self, action: Tensor, human: Tensor, scene: Tensor) -> Tensor:
        """Return the action rows of Z, float [B, T, d], for features of that shape; ValueError for another shape."""
        return self.reason(action, human, scene).action

    def reason(self, action: Tensor, human: Tensor, scene: Tensor) -> GraphOutput:
        """Compute what `forward` returns, with the edges that led to it."""
        for name, features in (("action", action), ("human", human), ("scene", scene)):
            if features.shape != action.shape or features.shape[1:] != (self.num_segments, self.dim):
                raise ValueError(
                    f"AKG: expected {name} features [B, {self.num_segments}, {self.dim}], found {list(features.shape)}"
                )
        nodes_BNd = torch.cat([action, scene, human], dim=1)
        edges_BNN = self._edges(nodes_BNd)
        kept_BNN = edges_BNN * self.mask
        # Only the action rows are read, so only they are multiplied by W.
        mixed_BTd = kept_BNN[:, : self.num_segments].to(nodes_BNd.dtype) @ nodes_BNd
        summed_BTd = self.weight(mixed_BTd)
        if self.residual:
            summed_BTd = summed_BTd + action
        return GraphOutput(action=F.relu(summed_BTd), edges=edges_BNN)

    def _edges(self, nodes_BNd: Tensor) -> Tensor:
        with _without_autocast(nodes_BNd.device.type):
            relations_BNN = self._relations(nodes_BNd.float())
            if self.scaled:
                relations_BNN = relations_BNN / self.dim**0.5
            if self.mask_place == "before_softmax":
                relations_BNN = relations_BNN.masked_fill(self.mask == 0, float("-inf"))
            return torch.softmax(relations_BNN, dim=-1)

    def _relations(self, nodes_BNd: Tensor) -> Tensor:
        rows_BNd, columns_BNd = self.theta(nodes_BNd), self.phi(nodes_BNd)
        if self.pair_weight is None:
            return rows_BNd @ columns_BNd.transpose(1, 2)
        # w . [x_a, x_b] is a sum of two dot products: no N x N x 2d tensor is needed.
        of_row_d, of_column_d = self.pair_weight.weight[0].split(self.dim)
        return F.relu((rows_BNd @ of_row_d)[:, :, None] + (columns_BNd @ of_column_d)[:, None, :])


def _without_autocast(device_type: str) -> AbstractContextManager[object]:
    """Keep float32 inside the block; a device without autocast (meta, where models are only counted) has it anyway."""
    return torch.autocast(device_type, enabled=False) if torch.amp.is_autocast_available(device_type) else nullcontext()
