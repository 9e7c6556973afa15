"""Teacher files: weights as safetensors, and a JSON side file that says what they are."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import TeacherError
from pipeline.files import sha256_of_file, write_atomically
from pipeline.training.weights import read_state_dict
from teachers.architectures import Kind, build_network
from teachers.preprocessing import Preprocessing

MAX_LISTED = 3


@dataclass(frozen=True)
class TeacherCard:
    """What the side file says.

    Attributes:
        kind: human or scene.
        architecture: one of `teachers.architectures.ARCHITECTURES`.
        classes: width of the head.
        preprocessing: how frames become network input.
        source: where the weights come from, in words.
        sha256: hex digest of the weights file.
        scores: results on held-out data, by name, with the number of images in ``images``; may be empty.
    """

    kind: Kind
    architecture: str
    classes: int
    preprocessing: Preprocessing
    source: str
    sha256: str = ""
    scores: dict[str, float] = field(default_factory=dict)


def side_path(weights_path: Path) -> Path:
    """Return the side file's path."""
    return weights_path.with_suffix(".json")


def save_teacher(network: nn.Module, card: TeacherCard, weights_path: Path) -> TeacherCard:
    """Write weights and side file, each whole or not at all; return the card with the digest filled in.

    A crash between the two renames leaves a digest that does not fit, which `load_teacher` refuses.

    Raises:
        WorkspaceError: the disk is full or cannot be written.
    """
    weights_path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    weights = safetensors.torch.save(state, metadata={"architecture": card.architecture})
    card = dataclasses.replace(card, sha256=hashlib.sha256(weights).hexdigest())
    write_atomically(weights_path, weights)
    write_atomically(side_path(weights_path), (json.dumps(dataclasses.asdict(card), indent=2) + "\n").encode())
    return card


def read_card(weights_path: Path, kind: Kind) -> TeacherCard:
    """Read the side file.

    Raises:
        TeacherError: weights or side file missing or malformed, or of the other kind of teacher.
    """
    path = side_path(weights_path)
    if not weights_path.is_file() or not path.is_file():
        missing = path if weights_path.is_file() else weights_path
        raise TeacherError(
            f"no {kind} teacher: {missing} is missing; run `kinet-pipeline teacher import {kind} FILE` "
            f"or `kinet-pipeline teacher train {kind} --data DIR`"
        )
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        card = _card_from_fields(fields)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TeacherError(
            f"{path}: not a teacher's side file ({error}); import or train the {kind} teacher again"
        ) from error
    if card.kind != kind:
        raise TeacherError(f"{path}: a {card.kind} teacher, expected a {kind} teacher")
    return card


def _card_from_fields(fields: dict[str, Any]) -> TeacherCard:
    sizes = fields["preprocessing"]
    preprocessing = Preprocessing(
        height=int(sizes["height"]),
        width=int(sizes["width"]),
        crop_height=None if sizes["crop_height"] is None else int(sizes["crop_height"]),
        crop_width=None if sizes["crop_width"] is None else int(sizes["crop_width"]),
        mean=tuple(map(float, sizes["mean"])),  # type: ignore[arg-type]  # the length is checked when made
        std=tuple(map(float, sizes["std"])),  # type: ignore[arg-type]
    )
    return TeacherCard(
        kind=Kind(fields["kind"]),
        architecture=str(fields["architecture"]),
        classes=int(fields["classes"]),
        preprocessing=preprocessing,
        source=str(fields["source"]),
        sha256=str(fields["sha256"]),
        scores={str(name): float(value) for name, value in fields.get("scores", {}).items()},
    )


def load_teacher(weights_path: Path, kind: Kind) -> tuple[nn.Module, TeacherCard]:
    """Build the network that the side file names and fill it; in evaluation mode, on the CPU.

    Raises:
        TeacherError: anything missing, altered since it was written, or of other keys or shapes than the
            architecture's.
    """
    weights_path = Path(weights_path)
    card = read_card(weights_path, kind)
    digest = sha256_of_file(weights_path)
    if digest != card.sha256:
        raise TeacherError(
            f"{weights_path}: sha256 {digest[:12]}..., its side file says {card.sha256[:12]}...; "
            f"the file was altered or cut short: import or train the {kind} teacher again"
        )
    # Without memory nothing is initialised: no time is lost and no random number is drawn.
    with torch.device("meta"):
        network = build_network(kind, card.architecture, card.classes)
    fill_network(network, read_state_dict(weights_path), origin=f"{weights_path} as {card.architecture}")
    return network.eval(), card


def fill_network(network: nn.Module, state: dict[str, Tensor], *, origin: str) -> None:
    """Put weights in; keys and shapes must be exactly the network's, which may be without memory (device "meta").

    Only BatchNorm's counters, which files older than PyTorch 0.4.1 lack, may be absent; they start at 0.

    Raises:
        TeacherError: naming the origin and the first few differences.
    """
    own = network.state_dict()
    counters = {
        name: torch.zeros(tensor.shape, dtype=tensor.dtype)
        for name, tensor in own.items()
        if name.endswith("num_batches_tracked")
    }
    state = counters | state
    faults = [f"{name} is missing" for name in own if name not in state]
    faults += [f"{name} is not expected" for name in state if name not in own]
    faults += [
        f"{name} is {list(state[name].shape)}, expected {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    if faults:
        more = f" and {len(faults) - MAX_LISTED} more" if len(faults) > MAX_LISTED else ""
        raise TeacherError(f"{origin}: weights do not fit: {'; '.join(faults[:MAX_LISTED])}{more}")
    state = {name: tensor.to(own[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(state, strict=True, assign=any(tensor.is_meta for tensor in own.values()))
