"""What of a student is trained, and how: parameter groups, partial BatchNorm, parameter counts."""

from typing import Any

from torch import nn

from student.branches import BlockChain

BIAS_LR_FACTOR = 2.0


class FixedBatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm that always normalises by its running statistics, also while the network around it trains."""

    def train(self, mode: bool = True) -> "FixedBatchNorm2d":
        """Stay in evaluation mode."""
        return super().train(False)


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Sort every trainable parameter into one of three groups (TSN's recipe).

    Weights have the learning rate and the decay; biases twice the rate and no decay; BatchNorm's weights and biases
    the rate and no decay. Frozen parameters (`requires_grad` False) are in none. Empty groups are left out.

    Returns:
        Groups as torch's optimisers take them, with `name` for logs and `lr_factor` for schedules that set `lr`.
    """
    weights: list[nn.Parameter] = []
    biases: list[nn.Parameter] = []
    norms: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, nn.BatchNorm2d):
                norms.append(parameter)
            elif name == "bias":
                biases.append(parameter)
            else:
                weights.append(parameter)
    groups = [
        _group("weights", weights, lr, 1.0, weight_decay),
        _group("biases", biases, lr, BIAS_LR_FACTOR, 0.0),
        _group("batchnorm", norms, lr, 1.0, 0.0),
    ]
    return [group for group in groups if group["params"]]


def freeze_batchnorm_except_first(model: nn.Module, *, transferred: bool = False) -> list[str]:
    """Freeze the statistics and the affine parameters of all pre-trained BatchNorms but the first (TSN's partial BN).

    Pre-trained are those of the backbone, in trunk and branches. The others (of CBI and of the human decoder) never
    saw ImageNet: they stay trainable, unless the student is `transferred` from another run, which trained them too.
    The frozen ones stay so when the model is set to training mode; the keys of the state_dict do not change.

    Returns:
        The names of the frozen modules; none for a backbone without BatchNorm that starts from ImageNet.
    """
    backbone = [
        (f"{chain_name}.{name}", module)
        for chain_name, chain in model.named_modules()
        if isinstance(chain, BlockChain)
        for name, module in chain.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    frozen = backbone[1:]
    if transferred:
        in_backbone = {id(module) for _, module in backbone}
        # Those of fixed teachers learn nothing and need no freezing.
        frozen += [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, nn.BatchNorm2d) and id(module) not in in_backbone and module.weight.requires_grad
        ]
    for name, module in frozen:
        parent_name, _, child_name = name.rpartition(".")
        setattr(model.get_submodule(parent_name), child_name, _fixed(module))
    return [name for name, _ in frozen]


def count_parameters(model: nn.Module) -> int:
    """Count a model's parameters; give `model.to_inference()` for the number that papers state."""
    return sum(parameter.numel() for parameter in model.parameters())


def _fixed(norm: nn.BatchNorm2d) -> FixedBatchNorm2d:
    """Make a fixed BatchNorm with the very parameters and buffers of another."""
    fixed = FixedBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    fixed.weight, fixed.bias = norm.weight, norm.bias
    fixed.running_mean, fixed.running_var = norm.running_mean, norm.running_var
    fixed.num_batches_tracked = norm.num_batches_tracked
    for parameter in fixed.parameters():
        parameter.requires_grad_(False)
    return fixed.train()


def _group(name: str, params: list[nn.Parameter], lr: float, lr_factor: float, weight_decay: float) -> dict[str, Any]:
    return {
        "name": name,
        "params": params,
        "lr": lr * lr_factor,
        "lr_factor": lr_factor,
        "weight_decay": weight_decay,
    }
