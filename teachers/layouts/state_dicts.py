"""Which architecture a PyTorch state dict is, told by its names, and its weights under our names.

Known are the public LIP parser, semseg's PSPNet, and torchvision's classifiers with the names of any of its versions.
"""

import re

import torch
from torch import Tensor

from pipeline.errors import TeacherError
from teachers.layouts.converted import Converted
from teachers.preprocessing import Preprocessing

# torchvision before 0.3 wrote a dense layer's parts with a dot.
_OLD_DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")
# Places365's AlexNet and VGG are parallel within: features.module.0.weight.
_PARALLEL = re.compile(r"(^|\.)module\.")
_COUNTER = ".num_batches_tracked"
_SEMSEG_DEPTHS = {(3, 4, 6, 3): "pspnet_semseg_resnet50", (3, 4, 23, 3): "pspnet_semseg_resnet101"}
_SEMSEG_SIZE = 473


def convert_state_dict(given: dict[str, Tensor], origin: str) -> Converted:
    """Recognise a state dict and rename its tensors.

    Raises:
        TeacherError: a known layout that contradicts itself.
    """
    state = name_as_torchvision(given)
    if "psp.bottleneck.weight" in state and "feats.start_features.conv0.weight" in state:
        return _convert_lip(state, origin)
    if "layer0.0.weight" in state and "ppm.features.0.1.weight" in state:
        return _convert_semseg(state, origin)
    return Converted(state)


def name_as_torchvision(given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off the names that DataParallel adds, and write old DenseNet names as torchvision writes them now."""
    return {_OLD_DENSE.sub(r"\1\2", _PARALLEL.sub(r"\1", name)): tensor for name, tensor in given.items()}


def _convert_lip(state: dict[str, Tensor], origin: str) -> Converted:
    """The public LIP parser: its blocks stand in the file twice, and its second head is dropped."""
    kept: dict[str, Tensor] = {}
    dropped = []
    for name, tensor in state.items():
        target = name
        if name.startswith("classifier."):
            dropped.append(name)
            continue
        if match := re.match(r"feats\.blocks\.(\d+)\.", name):
            # A list of dense blocks and transitions in turn.
            number, kind = divmod(int(match[1]), 2)
            target = f"features.{('denseblock', 'transition')[kind]}{number + 1}.{name[match.end() :]}"
        target = re.sub(r"^feats\.(start_features\.)?", "features.", target).replace("final.0.", "final.")
        if target in kept:
            if not torch.equal(kept[target], tensor):
                raise TeacherError(f"{origin}: {name} stands twice with different values; the file is damaged")
            dropped.append(name)
        else:
            kept[target] = tensor
    return Converted(
        kept,
        architecture="pspnet_lip_densenet121",
        classes=_width(kept, "final.weight"),
        preprocessing=Preprocessing(height=256, width=256, interpolation="bicubic"),
        dropped=tuple(dropped),
        notes=(
            "weights that stand twice in the file are equal; the head that says which parts are present is left out",
        ),
    )


def _convert_semseg(state: dict[str, Tensor], origin: str) -> Converted:
    """semseg's PSPNet; its auxiliary head works in training only."""
    counts = tuple(
        len({match[1] for name in state if (match := re.match(rf"layer{stage}\.(\d+)\.", name))})
        for stage in (1, 2, 3, 4)
    )
    if counts not in _SEMSEG_DEPTHS:
        raise TeacherError(f"{origin}: semseg's PSPNet with blocks {list(counts)}, expected those of ResNet-50 or -101")
    return Converted(
        {name: tensor for name, tensor in state.items() if not name.startswith("aux.")},
        architecture=_SEMSEG_DEPTHS[counts],
        classes=_width(state, "cls.4.weight"),
        preprocessing=Preprocessing(height=_SEMSEG_SIZE, width=_SEMSEG_SIZE),
        dropped=tuple(name for name in state if name.startswith("aux.")),
    )


def _width(state: dict[str, Tensor], name: str) -> int | None:
    return len(state[name]) if name in state and state[name].ndim else None


def match_by_position(given: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """Rename tensors by their order, where that leaves no doubt.

    Args:
        given: a file's tensors in its order.
        own: a network's, in its order.

    Returns:
        The tensors by the network's names; None unless both lists, without BatchNorm's counters, have the same length,
        and each pair has the same shape and the same last part of its name (weight, bias, running_mean, ...).
    """
    ours = [name for name in own if not name.endswith(_COUNTER)]
    theirs = [name for name in given if not name.endswith(_COUNTER)]
    if len(ours) != len(theirs):
        return None
    for our_name, their_name in zip(ours, theirs, strict=True):
        same_part = our_name.rpartition(".")[2] == their_name.rpartition(".")[2]
        if not same_part or own[our_name].shape != given[their_name].shape:
            return None
    return {our_name: given[their_name] for our_name, their_name in zip(ours, theirs, strict=True)}
