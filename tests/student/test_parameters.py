"""Parameter groups cover every parameter once; partial BatchNorm freezes what it says and nothing else."""

import pytest
import torch
from torch import nn

from student.build import BACKBONES, build_student
from student.kinet import kinet_resnet18, kinet_squeezenet1_1
from student.losses import JointTargets, joint_loss
from student.parameters import FixedBatchNorm2d, freeze_batchnorm_except_first, parameter_groups
from student.tsn import tsn_resnet18

LR, DECAY = 0.01, 1e-5


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("model", ["kinet", "tsn"])
def test_every_parameter_is_in_one_group_exactly(model: str, backbone: str) -> None:
    with torch.device("meta"):
        student = build_student(model=model, backbone=backbone, num_classes=3)
    grouped = [id(parameter) for group in parameter_groups(student, LR, DECAY) for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in student.parameters())


def test_the_groups_have_tsns_rates_and_decays() -> None:
    model = kinet_resnet18(3)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {group["name"]: group for group in parameter_groups(model, LR, DECAY)}
    settings = {name: (group["lr"], group["lr_factor"], group["weight_decay"]) for name, group in groups.items()}
    assert settings == {"weights": (LR, 1.0, DECAY), "biases": (2 * LR, 2.0, 0.0), "batchnorm": (LR, 1.0, 0.0)}
    members = {name: {names[id(parameter)] for parameter in group["params"]} for name, group in groups.items()}
    assert {"cbi.0.reduce.bias", "action_classifier.bias", "human_decoder.classifier.bias"} <= members["biases"]
    assert {"cbi.0.human_norm.bias", "trunk.blocks.1.weight", "human_decoder.norm.weight"} <= members["batchnorm"]
    assert {"akg.weight.weight", "cbi.0.reduce.weight", "scene_branch.blocks.1.conv1.weight"} <= members["weights"]
    torch.optim.SGD(parameter_groups(model, LR, DECAY), momentum=0.9)


def _train_one_step(model: nn.Module) -> None:
    groups = parameter_groups(model, 0.5, 0.1)
    optimiser = torch.optim.SGD(groups)
    model.train()
    outputs = model(torch.randn(2, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    targets = JointTargets(
        action=torch.tensor([0, 1]),
        masks=torch.ones(2, 3, 64, 64, dtype=torch.bool),
        scene=torch.zeros(2, 3, dtype=torch.int64),
        has_label=torch.ones(2, 3, dtype=torch.bool),
    )
    joint_loss(outputs, targets).total.backward()
    optimiser.step()


def test_partial_batchnorm_survives_training() -> None:
    """Statistics and affine parameters of all pre-trained BatchNorms but the first stay, bit by bit."""
    model = kinet_resnet18(3)
    keys = set(model.state_dict())
    frozen = freeze_batchnorm_except_first(model)
    assert set(model.state_dict()) == keys
    assert "trunk.blocks.1" not in frozen
    assert not any(name.startswith(("cbi", "human_decoder")) for name in frozen)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    _train_one_step(model)
    after = model.state_dict()
    changed = {key for key in keys if not torch.equal(before[key], after[key])}
    of_frozen = {key for key in keys if key.rpartition(".")[0] in frozen}
    assert len(of_frozen) == 5 * len(frozen) and not changed & of_frozen
    for name in ("trunk.blocks.1", "cbi.0.human_norm", "cbi.2.scene_norm", "human_decoder.norm"):
        assert f"{name}.running_mean" in changed
    assert {"trunk.blocks.1.weight", "human_decoder.norm.weight", "action_branch.blocks.0.conv1.weight"} <= changed


def test_partial_batchnorm_freezes_every_pretrained_one_but_the_first() -> None:
    tsn = tsn_resnet18(3)
    norms = [name for name, module in tsn.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert freeze_batchnorm_except_first(tsn) == norms[1:]
    fixed = [name for name, module in tsn.named_modules() if isinstance(module, FixedBatchNorm2d)]
    assert fixed == norms[1:]


def test_a_backbone_without_batchnorm_has_none_to_freeze() -> None:
    model = kinet_squeezenet1_1(3)
    assert freeze_batchnorm_except_first(model) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freezing_changes_no_prediction() -> None:
    model = tsn_resnet18(3).eval()
    frames = torch.randn(1, 3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = model(frames).action_logits
        freeze_batchnorm_except_first(model)
        assert torch.equal(model.eval()(frames).action_logits, before)
