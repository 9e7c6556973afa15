"""AKG computes equations 1 to 5 of the paper, and what follows from them holds."""

import math

import numpy as np
import pytest
import torch

from student.akg import ActionKnowledgeGraph, edge_entropy, edge_mask

DIM = 6
SEGMENTS = 3
RELATIONS = ["dot", "embedded", "concatenation"]


def _features(seed: int = 0, num_clips: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    action, human, scene = torch.randn(3, num_clips, SEGMENTS, DIM, generator=generator)
    return action, human, scene


def _randomised(graph: ActionKnowledgeGraph) -> ActionKnowledgeGraph:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in graph.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return graph


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def _by_the_paper(
    graph: ActionKnowledgeGraph, features: tuple[torch.Tensor, ...], relation: str, **reading
) -> np.ndarray:
    """Equations 1 to 5, node by node and edge by edge, in float64."""
    action, human, scene = (_array(part) for part in features)
    rows = []
    for clip in range(len(action)):
        nodes = [*action[clip], *scene[clip], *human[clip]]
        for a in range(SEGMENTS):
            relations = []
            for b in range(len(nodes)):
                if relation == "dot":
                    value = float(nodes[a] @ nodes[b])
                else:
                    theta_a = _array(graph.theta.weight) @ nodes[a]
                    phi_b = _array(graph.phi.weight) @ nodes[b]
                    value = float(theta_a @ phi_b)
                    if relation == "concatenation":
                        value = max(0.0, float(_array(graph.pair_weight.weight)[0] @ np.concatenate([theta_a, phi_b])))
                relations.append(value / math.sqrt(DIM) if reading.get("scaled") else value)
            powers = [math.exp(value) for value in relations]
            edges = [power / sum(powers) for power in powers]
            heard = sum(edge * node for edge, node in zip(edges, nodes, strict=True))
            summed = _array(graph.weight.weight) @ heard
            if reading.get("residual"):
                summed = summed + nodes[a]
            rows.append(np.maximum(summed, 0))
    return np.stack(rows).reshape(len(action), SEGMENTS, DIM)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("reading", [{}, {"scaled": True}, {"residual": True}])
def test_it_equals_the_equations(relation: str, reading: dict[str, bool]) -> None:
    graph = _randomised(ActionKnowledgeGraph(DIM, SEGMENTS, relation, **reading))
    features = _features()
    expected = _by_the_paper(graph, features, relation, **reading)
    np.testing.assert_allclose(_array(graph(*features)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("mask", ["human_scene", "action_only"])
@pytest.mark.parametrize("mask_place", ["after_softmax", "before_softmax"])
def test_every_edge_of_every_reading_equals_numpy(relation: str, scaled: bool, mask: str, mask_place: str) -> None:
    """All N x N edges, human and scene rows too, which the output does not show; in float64, by arrays."""
    graph = _randomised(ActionKnowledgeGraph(DIM, SEGMENTS, relation, scaled=scaled, mask=mask, mask_place=mask_place))
    action, human, scene = features = _features()
    nodes = np.concatenate([_array(action), _array(scene), _array(human)], axis=1)
    rows, columns = nodes, nodes
    if relation != "dot":
        rows, columns = nodes @ _array(graph.theta.weight).T, nodes @ _array(graph.phi.weight).T
    relations = np.einsum("bnd,bmd->bnm", rows, columns)
    if relation == "concatenation":
        weight = _array(graph.pair_weight.weight)[0]
        clips = zip(rows, columns, strict=True)
        pairs = np.stack([[np.concatenate([a, b]) for a in clip_a for b in clip_b] for clip_a, clip_b in clips])
        relations = np.maximum(pairs @ weight, 0).reshape(len(nodes), 9, 9)
    relations = relations / np.sqrt(DIM) if scaled else relations
    branches = np.repeat(["action", "scene", "human"], SEGMENTS)
    kept = (branches[:, None] == "action") | (branches[None] == "action")
    if mask == "human_scene":
        kept = kept | (branches[:, None] == branches[None])
    powers = np.exp(relations)
    if mask_place == "before_softmax":
        powers = powers * kept
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(_array(graph.reason(*features).edges), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(_array(graph.mask), kept)


def test_one_segment_by_hand() -> None:
    """T = 1, d = 2: action (1, 0), scene (0, ln 2), human (ln 3, 0), W the identity.

    Relations of the action node: 1 with itself, 0 with scene, ln 3 with human; so the edges are e, 1 and 3 over
    e + 4, and Z = (e + 3 ln 3, ln 2) / (e + 4).
    """
    graph = ActionKnowledgeGraph(2, 1)
    action = torch.tensor([[[1.0, 0.0]]])
    scene = torch.tensor([[[0.0, math.log(2)]]])
    human = torch.tensor([[[math.log(3), 0.0]]])
    total = math.e + 4
    expected = torch.tensor([[[(math.e + 3 * math.log(3)) / total, math.log(2) / total]]])
    torch.testing.assert_close(graph(action=action, human=human, scene=scene), expected)


def test_the_mask_cuts_18_edges_and_keeps_self_edges() -> None:
    mask = edge_mask(3)
    assert mask.shape == (9, 9)
    assert int((mask == 0).sum()) == 18
    assert torch.equal(mask, mask.T)
    assert torch.equal(mask.diagonal(), torch.ones(9))
    assert torch.equal(mask[:3], torch.ones(3, 9))


def test_the_narrow_mask_keeps_only_edges_of_action_nodes() -> None:
    mask = edge_mask(3, "action_only")
    assert torch.equal(mask[:3], torch.ones(3, 9)) and torch.equal(mask[:, :3], torch.ones(9, 3))
    assert torch.equal(mask[3:, 3:], torch.zeros(6, 6))


@pytest.mark.parametrize("relation", RELATIONS)
def test_no_mask_changes_the_action_rows_of_one_layer(relation: str) -> None:
    """An action row has no masked edge, wherever the mask stands."""
    features = _features()
    results = [
        _randomised(ActionKnowledgeGraph(DIM, SEGMENTS, relation, mask=mask, mask_place=place))(*features)
        for mask in ("human_scene", "action_only")
        for place in ("after_softmax", "before_softmax")
    ]
    for result in results[1:]:
        assert torch.equal(result, results[0])


def test_masked_before_the_softmax_the_edges_left_sum_to_one() -> None:
    graph = ActionKnowledgeGraph(DIM, SEGMENTS, mask_place="before_softmax")
    edges = graph.reason(*_features()).edges
    assert torch.equal(edges[:, graph.mask == 0], torch.zeros(2, 18))
    torch.testing.assert_close(edges.sum(dim=-1), torch.ones(2, 9))


def test_features_pass_where_a_node_hears_only_itself() -> None:
    """W starts as the identity: large features of different directions come out as they went in."""
    nodes = 20 * torch.eye(9)
    action, scene, human = nodes[None, :3], nodes[None, 3:6], nodes[None, 6:]
    torch.testing.assert_close(ActionKnowledgeGraph(9, 3)(action, human, scene), action)


def test_equal_features_pass_whatever_the_edges() -> None:
    features = torch.rand(1, 1, DIM, generator=torch.Generator().manual_seed(1)).expand(2, SEGMENTS, DIM)
    torch.testing.assert_close(ActionKnowledgeGraph(DIM, SEGMENTS)(features, features, features), features)


def test_edge_entropy_tells_even_edges_from_saturated_ones() -> None:
    even = torch.full((2, 9, 9), 1 / 9)
    assert edge_entropy(even, 3).item() == pytest.approx(math.log(9), rel=1e-5)
    assert edge_entropy(torch.eye(9).expand(2, 9, 9), 3).item() == 0.0


def test_the_unscaled_dot_product_of_wide_features_saturates() -> None:
    """Why the entropy is logged: at d = 2048, features of unit size hear only themselves."""
    features = torch.randn(3, 4, SEGMENTS, 2048, generator=torch.Generator().manual_seed(2)).abs()
    plain = ActionKnowledgeGraph(2048, SEGMENTS).reason(*features).edges
    scaled = ActionKnowledgeGraph(2048, SEGMENTS, scaled=True).reason(*features).edges
    assert edge_entropy(plain, SEGMENTS) < 1e-3
    assert edge_entropy(scaled, SEGMENTS) > 100 * edge_entropy(plain, SEGMENTS)


def test_the_softmax_stays_in_float32_under_autocast() -> None:
    graph = ActionKnowledgeGraph(DIM, SEGMENTS)
    features = _features()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reasoned = graph.reason(*features)
    assert reasoned.edges.dtype == torch.float32
    torch.testing.assert_close(reasoned.edges, graph.reason(*features).edges)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="did you mean 'embedded'"):
        ActionKnowledgeGraph(DIM, SEGMENTS, "embeded")
    action, human, scene = _features()
    with pytest.raises(ValueError, match=r"AKG: expected human features \[B, 3, 6\], found \[2, 2, 6\]"):
        ActionKnowledgeGraph(DIM, SEGMENTS)(action, human[:, :2], scene)
