"""Read PyTorch checkpoints, those of Python 2 and those with an optimiser beside the weights.

Code in them is refused.
"""

import argparse
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import CheckpointError, TeacherError
from pipeline.training.weights import WRAPPERS, read_plain_file

# What training programs leave beside the weights: scores as NumPy numbers (under the old and the new name of the
# function that makes one), and their options. Each only holds data.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_PLAIN: list[Any] = [
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    argparse.Namespace,
]


class PyTorchFile(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        state: tensors by name, as they stand in the file.
        architecture: what the checkpoint calls its network (``arch``); None where it does not.
        beside: names of what lies beside the weights, such as ``optimizer``.
    """

    state: dict[str, Tensor]
    architecture: str | None
    beside: tuple[str, ...]


def read_pytorch(path: Path) -> PyTorchFile:
    """Read a state dict, bare or in a checkpoint.

    Raises:
        TeacherError: the file holds code, or no state dict.
        CheckpointError: the file is missing or damaged.
    """
    try:
        with torch.serialization.safe_globals(_PLAIN):
            content: Any = read_plain_file(path)
    except CheckpointError as error:
        # torch names what it refused to look up; that tells a pickled model from an attack.
        if refused := re.search(r"GLOBAL (\S+)", str(error.__cause__)):
            raise TeacherError(
                f"{path}: refused: it holds pickled code, {refused[1]} (nothing was executed); "
                "expected a state dict of tensors: save `model.state_dict()` where you trust the file"
            ) from error
        raise
    architecture, beside = None, []
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            architecture = content["arch"] if isinstance(content.get("arch"), str) else architecture
            beside += [str(name) for name in content if name != wrapper]
            content = content[wrapper]
    if not isinstance(content, dict) or not content:
        raise TeacherError(f"{path}: expected a state dict (names to tensors), found {type(content).__name__}")
    strangers = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if strangers:
        raise TeacherError(f"{path}: expected a state dict (names to tensors), but {strangers[0]!r} is no tensor")
    return PyTorchFile(dict(content), architecture, tuple(beside))
