"""What is measured while training equals what is computed by hand, and measuring changes nothing."""

import pytest
import torch

from student.build import build_student
from student.diagnosis import CbiProbe, measure_agreement, measure_task_gradients
from student.kinet import KINet
from student.losses import JointTargets, LossWeights, joint_loss
from student.outputs import StudentOutputs


def make_targets(num_clips: int = 2, size: int = 48) -> JointTargets:
    generator = torch.Generator().manual_seed(0)
    has_label = torch.ones(num_clips, 3, dtype=torch.bool)
    has_label[0, 0] = False
    return JointTargets(
        action=torch.arange(num_clips),
        masks=torch.rand(num_clips, 3, size, size, generator=generator) > 0.5,
        scene=torch.randint(365, (num_clips, 3), generator=generator),
        has_label=has_label,
    )


def test_agreement_by_hand() -> None:
    """Of four labelled frames: people where the student says so on half of them, and the right scene on one."""
    targets = JointTargets(
        action=torch.zeros(1, dtype=torch.int64),
        masks=torch.ones(1, 5, 4, 4, dtype=torch.bool),
        scene=torch.tensor([[3, 3, 3, 3, 3]]),
        has_label=torch.tensor([[True, True, True, True, False]]),
    )
    human = torch.zeros(1, 5, 2, 4, 4)
    human[0, :, 0] = 1.0
    human[0, [0, 1, 4], 1] = 2.0
    scene = torch.zeros(1, 5, 365)
    scene[0, 0, 3] = 1.0
    scene[0, 1:, 7] = 1.0
    found = measure_agreement(StudentOutputs(torch.zeros(1, 2), human, scene), targets)
    assert found == {"mask_iou": pytest.approx(0.5), "scene_top1": pytest.approx(0.25)}
    without = targets._replace(has_label=torch.zeros(1, 5, dtype=torch.bool))
    assert measure_agreement(StudentOutputs(torch.zeros(1, 2), human, scene), without) == {}


def test_task_gradients_are_those_of_each_task_alone_and_leave_the_step_alone() -> None:
    model = build_student(model="kinet", backbone="squeezenet1_1", num_classes=2, dropout=0.0)
    assert isinstance(model, KINet)
    frames = torch.randn(2, 3, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    weights = LossWeights(1.0, 0.5, 0.25)
    losses = joint_loss(model(frames), make_targets(), weights)
    found = measure_task_gradients(model.trunk, losses, weights)
    assert all(parameter.grad is None for parameter in model.parameters())
    losses.total.backward()
    assert found.keys() == {"trunk_gradient_action", "trunk_gradient_human", "trunk_gradient_scene"}
    for name, weight in (("action", 1.0), ("human", 0.5), ("scene", 0.25)):
        model.zero_grad()
        (weight * getattr(joint_loss(model(frames), make_targets(), weights), name)).backward()
        norm = torch.stack([p.grad.norm() for p in model.trunk.parameters() if p.grad is not None]).norm()
        assert found[f"trunk_gradient_{name}"] == pytest.approx(float(norm), rel=1e-4)


def test_cbi_starts_without_a_change_and_the_probe_leaves_no_hook() -> None:
    model = build_student(model="kinet", backbone="squeezenet1_1", num_classes=2).eval()
    frames = torch.randn(1, 3, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    before = model(frames).action_logits
    with CbiProbe(model) as probe:
        watched = model(frames).action_logits
    assert torch.equal(before, watched)
    changes = {name: value for name, value in probe.statistics.items() if name.endswith("_change")}
    assert len(changes) == 2
    assert all(value == pytest.approx(0.0, abs=1e-6) for value in changes.values())
    assert all(0 <= value <= 1 for name, value in probe.statistics.items() if name.endswith("_open"))
    assert not any(module._forward_hooks for module in model.modules())
    with CbiProbe(model, enabled=False) as idle:
        model(frames)
    assert idle.statistics == {}
