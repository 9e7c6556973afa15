"""Start a teacher's training from ImageNet weights."""

from pathlib import Path

from torch import Tensor, nn

from teachers.formats.pytorch import read_pytorch
from teachers.layouts.state_dicts import name_as_torchvision
from teachers.psp import PspNet
from teachers.storage import fill_network


def load_imagenet_weights(network: nn.Module, path: Path) -> int:
    """Start a network from ImageNet weights in torchvision's layout; its heads stay as they are.

    Args:
        network: a `PspNet`, whose backbone is filled, or a torchvision classifier, filled but for its last layer.
        path: a state dict of the same backbone, under the names of any version of torchvision.

    Returns:
        The number of tensors taken over.

    Raises:
        CheckpointError: the file cannot be read.
        TeacherError: it does not hold every tensor of the backbone in its shape.
    """
    given = name_as_torchvision(read_pytorch(path).state)
    if isinstance(network, PspNet):
        return _fill_backbone(network, given, path)
    own = network.state_dict()
    heads = tuple(name for name in own if name.startswith(("fc.", "classifier.")))
    state = {name: tensor for name, tensor in given.items() if not name.startswith(("fc.", "classifier."))}
    fill_network(network, state | {name: own[name] for name in heads}, origin=f"{path} as a backbone")
    return len(state)


def _fill_backbone(network: PspNet, given: dict[str, Tensor], path: Path) -> int:
    """Fill stem and body: their layers together are torchvision's ``features``, by name."""
    backbone = nn.Sequential()
    for part in (network.stem, network.body):
        for name, layer in part.named_children():
            backbone.add_module(name, layer)
    prefix = "features."
    state = {name.removeprefix(prefix): tensor for name, tensor in given.items() if name.startswith(prefix)}
    fill_network(backbone, state, origin=f"{path} as a backbone")
    return len(state)
