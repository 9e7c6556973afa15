"""The joint loss equals values computed by hand, and a missing label is absent."""

import math

import pytest
import torch

from student.losses import JointTargets, LossWeights, human_loss, joint_loss, scene_loss, soft_scene_loss
from student.outputs import StudentOutputs

LN3 = math.log(3)


def _outputs() -> StudentOutputs:
    """Two clips of two frames, three action classes, 1x1 human maps, two scene classes."""
    human = torch.zeros(2, 2, 2, 1, 1)
    human[0, 0, 1] = LN3  # P(human) = 3/4
    human[0, 1, 0] = LN3  # P(human) = 1/4
    scene = torch.zeros(2, 2, 2)
    scene[0, 0, 0] = LN3  # P(class 0) = 3/4
    return StudentOutputs(
        action_logits=torch.tensor([[LN3, 0.0, 0.0], [0.0, 0.0, 0.0]]).requires_grad_(),
        human_logits=human.requires_grad_(),
        scene_logits=scene.requires_grad_(),
    )


def _targets(has_label: list[list[bool]]) -> JointTargets:
    masks = torch.zeros(2, 2, 2, 2, dtype=torch.bool)
    masks[0, 0] = True
    masks[0, 1, 0, 0] = True
    return JointTargets(
        action=torch.tensor([0, 2]),
        masks=masks,
        scene=torch.tensor([[0, 1], [1, 1]]),
        has_label=torch.tensor(has_label),
    )


ACTION = (-math.log(3 / 5) + math.log(3)) / 2
HUMAN_00 = -math.log(3 / 4)  # all four pixels human
HUMAN_01 = (-math.log(1 / 4) - 3 * math.log(3 / 4)) / 4  # one pixel of four human
SCENE_00 = -math.log(3 / 4)
EVEN = math.log(2)  # logits of zero against any of two classes


def test_all_labels_by_hand() -> None:
    loss = joint_loss(_outputs(), _targets([[True, True], [True, True]]))
    human = (HUMAN_00 + HUMAN_01 + 2 * EVEN) / 4
    scene = (SCENE_00 + 3 * EVEN) / 4
    assert loss.action.item() == pytest.approx(ACTION, rel=1e-6)
    assert loss.human.item() == pytest.approx(human, rel=1e-6)
    assert loss.scene.item() == pytest.approx(scene, rel=1e-6)
    assert loss.total.item() == pytest.approx(ACTION + 0.01 * human + 0.01 * scene, rel=1e-6)
    assert loss.num_labelled == 4


def test_a_frame_without_label_contributes_nothing() -> None:
    """Neither to the mean, nor to its count, nor by a gradient; what stands in its place is never read."""
    targets = _targets([[True, False], [False, False]])
    targets.scene[0, 1] = -7
    outputs = _outputs()
    loss = joint_loss(outputs, targets, LossWeights(action=1.0, human=2.0, scene=3.0))
    assert loss.human.item() == pytest.approx(HUMAN_00, rel=1e-6)
    assert loss.scene.item() == pytest.approx(SCENE_00, rel=1e-6)
    assert loss.total.item() == pytest.approx(ACTION + 2 * HUMAN_00 + 3 * SCENE_00, rel=1e-6)
    assert loss.num_labelled == 1
    loss.total.backward()
    for logits in (outputs.human_logits, outputs.scene_logits):
        sizes = logits.grad.flatten(2).abs().sum(dim=2)
        assert sizes[0, 0] > 0
        assert sizes.sum() == sizes[0, 0]


def test_a_frame_with_one_of_the_two_labels_counts_for_that_one_alone() -> None:
    """What stands in the place of the label that is not there is never read."""
    targets = _targets([[True, True], [False, False]])._replace(
        scene=torch.tensor([[-1, 1], [-1, -1]]),
        has_mask=torch.tensor([[True, False], [False, False]]),
        has_scene=torch.tensor([[False, True], [False, False]]),
    )
    loss = joint_loss(_outputs(), targets)
    assert loss.human.item() == pytest.approx(HUMAN_00, rel=1e-6)
    assert loss.scene.item() == pytest.approx(EVEN, rel=1e-6)
    assert loss.num_labelled == 2


def test_without_any_label_the_action_is_learned_alone() -> None:
    outputs = _outputs()
    loss = joint_loss(outputs, _targets([[False, False], [False, False]]))
    assert loss.num_labelled == 0
    assert loss.human.item() == 0.0 and loss.scene.item() == 0.0
    assert loss.total.item() == pytest.approx(ACTION, rel=1e-6)
    loss.total.backward()
    assert torch.equal(outputs.human_logits.grad, torch.zeros_like(outputs.human_logits))
    assert torch.isfinite(outputs.action_logits.grad).all()


def test_a_student_without_auxiliary_outputs_has_the_action_loss() -> None:
    outputs = StudentOutputs(action_logits=_outputs().action_logits)
    loss = joint_loss(outputs, _targets([[True, True], [True, True]]))
    assert loss.total.item() == loss.action.item() == pytest.approx(ACTION, rel=1e-6)
    assert loss.num_labelled == 0


def test_human_logits_are_brought_to_the_masks_size() -> None:
    """A map that says human on its right half, against that mask at four times the size, loses almost nothing."""
    logits = torch.zeros(1, 1, 2, 8, 8)
    logits[..., 1, :, 4:] = 40.0
    logits[..., 0, :, :4] = 40.0
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[..., 16:] = True
    labelled = torch.ones(1, 1, dtype=torch.bool)
    right = human_loss(logits, mask, labelled).item()
    assert right < 0.05
    assert human_loss(logits, ~mask, labelled).item() > 30


def test_soft_targets_by_hand() -> None:
    """Teacher 0.6 and 0.2 of three classes, renormalised to 3/4 and 1/4; the student says 3/5, 1/5, 1/5."""
    logits = torch.tensor([[[LN3, 0.0, 0.0]]])
    indices, probs = torch.tensor([[[0, 2]]]), torch.tensor([[[0.6, 0.2]]])
    labelled = torch.ones(1, 1, dtype=torch.bool)
    expected = -(0.75 * math.log(3 / 5) + 0.25 * math.log(1 / 5))
    assert soft_scene_loss(logits, indices, probs, labelled, temperature=1.0).item() == pytest.approx(expected)
    # At temperature 2 the targets are sqrt(3) : 1 and the student's powers sqrt(3) : 1 : 1; the result is times 4.
    root = math.sqrt(3)
    soft = [root / (root + 1), 1 / (root + 1)]
    expected = -4 * (soft[0] * math.log(root / (root + 2)) + soft[1] * math.log(1 / (root + 2)))
    assert soft_scene_loss(logits, indices, probs, labelled, temperature=2.0).item() == pytest.approx(expected)


def test_one_certain_soft_class_is_the_hard_label() -> None:
    logits = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(6).view(2, 3)
    labelled = torch.tensor([[True, False, True], [True, True, False]])
    soft = soft_scene_loss(logits, labels[..., None], torch.ones(2, 3, 1), labelled, temperature=1.0)
    torch.testing.assert_close(soft, scene_loss(logits, labels, labelled))


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="scene_temperature is set, but the targets hold no"):
        joint_loss(_outputs(), _targets([[True, True], [True, True]]), scene_temperature=2.0)
    with pytest.raises(ValueError, match="loss weight human: expected 0 or more, found -1"):
        LossWeights(human=-1.0)
