"""Teacher files: weights as safetensors, and a JSON side file that says what they are."""

import dataclasses
import json
import logging
import shutil
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import TeacherError, WorkspaceError
from pipeline.files import sha256_of_file
from pipeline.local_copies import local_copy, writing
from pipeline.store import make_dir, write_atomically
from pipeline.training.weights import read_state_dict
from teachers.architectures import build_network, check_classes
from teachers.cards import MEAN_IMAGE_KEY, TeacherCard, card_from_fields
from teachers.kinds import Kind

log = logging.getLogger(__name__)

MAX_LISTED = 3
COUNTER_SUFFIX = "num_batches_tracked"
# Of a card: what a teacher answers follows from these.
DECISIVE_FIELDS = ("kind", "architecture", "classes", "person_classes", "preprocessing", "sha256")


def side_path(weights_path: Path) -> Path:
    """Return the side file's path."""
    return weights_path.with_suffix(".json")


def previous_path(weights_path: Path) -> Path:
    """Return where the weights of the teacher lie whose place was taken; its side file lies beside them."""
    return weights_path.with_suffix(".previous.safetensors")


def check_replacing(weights_path: Path, kind: Kind, *, replace: bool, own_sha256: str = "") -> None:
    """Raise WorkspaceError where there is a teacher already that is not to be replaced.

    Args:
        weights_path, kind: of the teacher to be written.
        replace: any may be replaced.
        own_sha256: digest of a weights file that may be: the caller wrote it.
    """
    if replace or not weights_path.is_file():
        return
    if own_sha256:
        with local_copy(weights_path) as local_path:
            if sha256_of_file(local_path) == own_sha256:
                return
    raise WorkspaceError(
        f"{weights_path}: there is a {kind} teacher already; labels made by it carry its digest, and are never mixed "
        f"with another's. Put the new one in its place with --replace (the former is kept as "
        f"{previous_path(weights_path).name}), or name another --workspace"
    )


def save_teacher(network: nn.Module, card: TeacherCard, weights_path: Path) -> TeacherCard:
    """Write weights and side file, each whole or not at all; return the card with the digest filled in.

    Another teacher that was there is kept under `previous_path`; an older one of that name goes. A crash
    between the two renames leaves a digest that does not fit, which `load_teacher` refuses.

    Raises:
        WorkspaceError: the disk is full or cannot be written.
    """
    make_dir(weights_path.parent)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    if card.preprocessing.mean_image is not None:
        state[MEAN_IMAGE_KEY] = card.preprocessing.mean_image.contiguous()
    with writing(weights_path) as part_path:
        try:
            safetensors.torch.save_file(state, part_path, metadata={"architecture": card.architecture})
        except safetensors.SafetensorError as error:
            raise WorkspaceError(f"{weights_path}: cannot be written ({error}); see that its disk has room") from error
        card = dataclasses.replace(card, sha256=sha256_of_file(part_path))
        _keep_former(weights_path, card)
    write_card(card, weights_path)
    return card


def _keep_former(weights_path: Path, card: TeacherCard) -> None:
    """Copy the teacher that is there, if it answers otherwise; it stays in its place until the new one is whole.

    Weights that do not fit their side file, as a crash between the two renames leaves them, are no teacher: the one
    that was kept before them stays.
    """
    if not weights_path.is_file():
        return
    with local_copy(weights_path, ".json") as local_path:
        card_path = side_path(local_path)
        content = card_path.read_bytes() if card_path.is_file() else b"{}"
        digest = sha256_of_file(local_path)
        if _stated_digest(content) != digest:
            log.warning("%s: does not fit its side file; it is replaced, and not kept", weights_path)
            return
        if digest == card.sha256 and _says_the_same(content, card):
            return
        with writing(previous_path(weights_path)) as part_path:
            shutil.copyfile(local_path, part_path)
        write_atomically(side_path(previous_path(weights_path)), content)


def _stated_digest(content: bytes) -> object:
    """Read what a side file says of its weights; None where it is no side file."""
    try:
        fields = json.loads(content)
    except ValueError:
        return None
    return fields.get("sha256") if isinstance(fields, dict) else None


def _says_the_same(content: bytes, card: TeacherCard) -> bool:
    """Tell whether a side file is of a teacher that answers as the card's does, whatever else it says."""
    fields = json.loads(json.dumps(card.to_fields()))
    try:
        former = json.loads(content)
        return all(former[name] == fields[name] for name in DECISIVE_FIELDS)
    except (ValueError, KeyError, TypeError):
        return False


def write_card(card: TeacherCard, weights_path: Path) -> None:
    """Write the side file anew; raise WorkspaceError where the disk takes no more."""
    write_atomically(side_path(weights_path), json.dumps(card.to_fields(), indent=2) + "\n")


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
            f"or `kinet-pipeline teacher train {kind} --data DIR`; name one of your own by --{kind}-teacher"
        )
    try:
        with local_copy(weights_path, ".json") as local_path:
            fields = json.loads(side_path(local_path).read_text(encoding="utf-8"))
            card = card_from_fields(fields, local_path)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, safetensors.SafetensorError) as error:
        raise TeacherError(
            f"{path}: not a teacher's side file ({error}); import or train the {kind} teacher again"
        ) from error
    if card.kind != kind:
        raise TeacherError(f"{path}: a {card.kind} teacher, expected a {kind} teacher")
    return card


def load_teacher(weights_path: Path, kind: Kind) -> tuple[nn.Module, TeacherCard]:
    """Build the network that the side file names and fill it; in evaluation mode, on the CPU.

    Raises:
        TeacherError: anything missing, altered since it was written, or of other keys or shapes than the
            architecture's.
    """
    card = read_card(weights_path, kind)
    with local_copy(weights_path) as local_path:
        digest = sha256_of_file(local_path)
        if digest != card.sha256:
            raise TeacherError(
                f"{weights_path}: sha256 {digest[:12]}..., its side file says {card.sha256[:12]}...; "
                f"the file was altered or cut short: import or train the {kind} teacher again"
            )
        state = read_state_dict(local_path)
    check_classes(kind, card.architecture, card.classes, card.person_classes)
    # Without memory nothing is initialised: no time is lost and no random number is drawn.
    with torch.device("meta"):
        network = build_network(kind, card.architecture, card.classes)
    state.pop(MEAN_IMAGE_KEY, None)
    fill_network(network, state, origin=f"{weights_path} as {card.architecture}")
    return network.eval(), card


def describe_misfit(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """List what keeps weights from fitting a network: missing and unexpected names, other shapes.

    Only BatchNorm's counters, which files older than PyTorch 0.4.1 lack, may be absent.
    """
    return describe_other_names(network, state) + describe_other_shapes(network, state)


def describe_other_names(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """List the names that weights lack or have beyond a network's; BatchNorm's counters may be absent."""
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own if name not in state and not name.endswith(COUNTER_SUFFIX)]
    return faults + [f"{name} is not expected" for name in state if name not in own]


def describe_other_shapes(network: nn.Module, state: dict[str, Tensor]) -> list[str]:
    """List the weights that have a network's names and other shapes."""
    own = network.state_dict()
    return [
        f"{name} is {list(state[name].shape)}, expected {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]


def shorten(faults: list[str]) -> str:
    """Put the first few faults in a line, and the number of the others."""
    more = f" and {len(faults) - MAX_LISTED} more" if len(faults) > MAX_LISTED else ""
    return f"{'; '.join(faults[:MAX_LISTED])}{more}"


def fill_network(network: nn.Module, state: dict[str, Tensor], *, origin: str) -> None:
    """Put weights in; keys and shapes must be exactly the network's, which may be without memory (device "meta").

    BatchNorm's counters start at 0 where the weights lack them.

    Raises:
        TeacherError: naming the origin and the first few differences.
    """
    faults = describe_misfit(network, state)
    if faults:
        raise TeacherError(f"{origin}: weights do not fit: {shorten(faults)}")
    own = network.state_dict()
    counters = {
        name: torch.zeros(tensor.shape, dtype=tensor.dtype)
        for name, tensor in own.items()
        if name.endswith(COUNTER_SUFFIX)
    }
    state = counters | {name: tensor.to(own[name].dtype) for name, tensor in state.items()}
    network.load_state_dict(state, strict=True, assign=any(tensor.is_meta for tensor in own.values()))
