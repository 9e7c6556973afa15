"""What the students that have a graph do with it: the features that are classified, and a figure of how it reasons."""

from torch import Tensor

from student.akg import ActionKnowledgeGraph, edge_entropy
from student.outputs import BranchFeatures


def reason(akg: ActionKnowledgeGraph | None, features: BranchFeatures) -> tuple[Tensor, Tensor | None]:
    """Return the action features [B, T, d] that are classified, and the entropy of the edges that led to them.

    Args:
        akg: the graph; None passes the action features on.
        features: of all three branches, [B, T, d].

    Raises:
        ValueError: a graph, but no features of the human or the scene branch.
    """
    if akg is None:
        return features.action, None
    if features.human is None or features.scene is None:
        raise ValueError("features of the human and the scene branch are needed for the graph, found None")
    graph = akg.reason(features.action, features.human, features.scene)
    return graph.action, edge_entropy(graph.edges, akg.num_segments)
