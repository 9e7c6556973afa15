"""Read files of weights. Nothing in a file is ever executed, whatever it is."""

import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from pipeline.errors import CheckpointError

# Under which keys training programs keep the weights in their checkpoints, and what DataParallel puts before names.
WRAPPERS = ("state_dict", "model_state_dict", "model")
PARALLEL_PREFIX = "module."
WAY_OUT = "put an intact copy in its place"

_DAMAGED = (
    safetensors.SafetensorError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    # What torch's restricted unpickler raises when it meets bytes that are no pickle.
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    struct.error,
)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a ``.safetensors`` file, or else from a ``torch.save`` file, those of Python 2 too.

    A checkpoint's wrapper around its weights is taken off, and so is the prefix ``module.``.

    Raises:
        CheckpointError: the file is missing or unreadable, holds code, or holds no state dict.
    """
    content = read_plain_file(path)
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items())
    ):
        raise CheckpointError(f"{path}: expected a state dict (names to tensors), found something else")
    return {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in content.items()}


def read_plain_file(path: Path, *, device: torch.device | str = "cpu") -> object:
    """Read whatever plain data (tensors, numbers, strings, lists, dictionaries) a file holds.

    What `torch.save` writes carries checksums, which `torch.load` does not look at and this does; safetensors and
    PyTorch's files from before 1.6 carry none.

    Raises:
        CheckpointError: the file is missing or damaged, or holds code.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        _check_sums(path)
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path, device=str(device))
        with warnings.catch_warnings():
            # A foreign pickle is refused with an error of ours; torch's advice to its own developers only confuses.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            return torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused: not plain data, or pickled code in it (nothing was executed); where you trust the file, "
            "save its model's state_dict() alone"
        ) from error
    except _DAMAGED as error:
        first_sentence = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0].rstrip(".")
        raise CheckpointError(f"{path}: damaged or not a weights file ({first_sentence}); {WAY_OUT}") from error


def _check_sums(path: Path) -> None:
    """Raise CheckpointError where a member of a zip is not what its checksum says.

    PyTorch can be told to write none, and then writes 0 for every member: nothing is known of such a file.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        if not any(member.CRC for member in archive.infolist()):
            return
        try:
            damaged = archive.testzip()
        except (zlib.error, NotImplementedError) as error:
            raise zipfile.BadZipFile(str(error)) from error
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged (checksum of {damaged}); {WAY_OUT}")
