"""Take over circulating weights: our own files and PyTorch state dicts. Nothing in a file is ever executed."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.errors import TeacherError
from pipeline.training.weights import read_state_dict
from teachers.architectures import ARCHITECTURES, Kind, build_network, default_preprocessing
from teachers.preprocessing import Preprocessing
from teachers.psp import PspNet
from teachers.storage import TeacherCard, fill_network, read_card, save_teacher, side_path


def import_teacher(
    kind: Kind,
    file: Path,
    destination: Path,
    *,
    architecture: str | None = None,
    classes: int | None = None,
    preprocessing: Preprocessing | None = None,
    source: str | None = None,
) -> TeacherCard:
    """Check weights against an architecture and write them as a teacher file.

    Args:
        kind: human or scene.
        file: ``.safetensors`` (with our side file nothing else need be said), or a PyTorch state dict, bare or wrapped.
        destination: the weights file to write.
        architecture, classes, preprocessing: what the weights are; they win over a side file. Without one, the
            architecture must be said; classes default to 20 (human) or 365, preprocessing to the usual one.
        source: where the weights come from; default: the file's name.

    Raises:
        TeacherError: a file that is missing, or does not fit the architecture.
        CheckpointError: no file of weights, or one that holds code.
    """
    if not file.is_file():
        raise TeacherError(f"{file}: no such file")
    if file.suffix == ".safetensors" and side_path(file).is_file():
        card = read_card(file, kind)
    elif architecture is None:
        known = ", ".join(ARCHITECTURES[kind])
        raise TeacherError(f"{file}: no side file says what it is; give --architecture, one of {known}")
    else:
        card = TeacherCard(
            kind=kind,
            architecture=architecture,
            classes=20 if kind == Kind.HUMAN else 365,
            preprocessing=default_preprocessing(kind),
            source=file.name,
        )
    card = dataclasses.replace(
        card,
        architecture=architecture or card.architecture,
        classes=classes or card.classes,
        preprocessing=preprocessing or card.preprocessing,
        source=source or card.source,
    )
    with torch.device("meta"):
        network = build_network(kind, card.architecture, card.classes)
    fill_network(network, read_state_dict(file), origin=f"{file} as {card.architecture}")
    return save_teacher(network, card, destination)


def load_imagenet_weights(network: nn.Module, path: Path) -> int:
    """Start a network from ImageNet weights in torchvision's layout; its heads stay as they are.

    Args:
        network: a `PspNet`, whose backbone is filled, or a torchvision classifier, filled but for its last layer.
        path: a state dict of the same backbone.

    Returns:
        The number of tensors taken over.

    Raises:
        CheckpointError: the file cannot be read.
        TeacherError: it does not hold every tensor of the backbone in its shape.
    """
    given = read_state_dict(path)
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
