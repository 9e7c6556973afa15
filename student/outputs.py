"""What the students hand on: features of each branch, and logits.

Shape suffixes: B batch, T segments, N images, W windows, K classes, d feature width, h/w map size.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class BranchFeatures(NamedTuple):
    """Pooled features of each branch, float [N, d] for images or [B, T, d] for segments.

    Attributes:
        action: features of the action branch.
        human, scene: features of the auxiliary branches; None for a student that has none (TSN).
    """

    action: Tensor
    human: Tensor | None
    scene: Tensor | None

    def gather(self, image_indices: Tensor) -> "BranchFeatures":
        """Arrange features of images as segments: [N, d] and int64 indices [W, T] give [W, T, d]."""
        return self.map(lambda features_Nd: features_Nd[image_indices])

    def as_segments(self, num_segments: int) -> "BranchFeatures":
        """Arrange features of consecutive images as segments: [B * T, d] to [B, T, d]."""
        return self.map(lambda features_Nd: features_Nd.unflatten(0, (-1, num_segments)))

    def map(self, change: Callable[[Tensor], Tensor]) -> "BranchFeatures":
        """Change the features of each branch that there is."""
        return BranchFeatures(
            action=change(self.action),
            human=None if self.human is None else change(self.human),
            scene=None if self.scene is None else change(self.scene),
        )


class StudentOutputs(NamedTuple):
    """What a student's forward pass returns.

    Attributes:
        action_logits: [B, K], the mean over segments.
        human_logits: [B, T, 2, h, w] (channel 0 background, 1 human) at the size of the human branch's last map; the
            loss brings them to the mask's size. None without a human decoder.
        scene_logits: [B, T, 365]. None without a scene classifier.
        edge_entropy: scalar, the mean entropy in nats of the graph's edges that reach an action node, without
            gradient; log(3T) where all edges are equal, near 0 where the softmax is saturated. None without a graph.
    """

    action_logits: Tensor
    human_logits: Tensor | None = None
    scene_logits: Tensor | None = None
    edge_entropy: Tensor | None = None
