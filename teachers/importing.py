"""Take over circulating weights: our own files and PyTorch state dicts. Nothing in a file is ever executed."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import TeacherError
from teachers.architectures import ARCHITECTURES, Kind, build_network, default_preprocessing
from teachers.preprocessing import Preprocessing
from teachers.psp import PspNet
from teachers.storage import TeacherCard, fill_network, read_card, read_safetensors, save_teacher, side_path

WRAPPERS = ("state_dict", "model_state_dict", "model")
PARALLEL_PREFIX = "module."


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
        TeacherError: a file that is missing, no checkpoint, holds code, or does not fit the architecture.
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


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a safetensors or PyTorch file, without wrappers and without a ``module.`` prefix.

    PyTorch files, those of Python 2 too, are read with ``weights_only=True``: pickled code is refused unexecuted.

    Raises:
        TeacherError: no such file, no checkpoint, code in it, or no state dict.
    """
    if not path.is_file():
        raise TeacherError(f"{path}: no such file")
    content: Any
    if path.suffix == ".safetensors":
        content = read_safetensors(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise TeacherError(
                f"{path}: refused: not a plain checkpoint, or one that holds pickled code (nothing was executed); "
                "expected a state dict of tensors: save `model.state_dict()` where you trust the file"
            ) from error
        except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
            reason = str(error).splitlines()[0] if str(error) else "it ends too early"
            raise TeacherError(f"{path}: not a readable PyTorch checkpoint ({reason})") from error
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    ):
        raise TeacherError(f"{path}: expected a state dict (names to tensors), found something else")
    return {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in content.items()}


def load_imagenet_weights(network: nn.Module, path: Path) -> int:
    """Start a network from ImageNet weights in torchvision's layout; its heads stay as they are.

    Args:
        network: a `PspNet`, whose backbone is filled, or a torchvision classifier, filled but for its last layer.
        path: a state dict of the same backbone.

    Returns:
        The number of tensors taken over.

    Raises:
        TeacherError: the file cannot be read, or does not hold every tensor of the backbone in its shape.
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
