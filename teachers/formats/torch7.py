"""Read Torch7's binary files (``.t7``) as plain data: numbers, strings, tables, tensors, and known modules as tables.

Source: torch7's File.lua and generic/Tensor.c. A file may hold Lua functions as bytecode; they are refused by their
place, as is every class that is not listed here. Nothing is executed. The file is mapped, and a tensor is copied only
when it is asked for.
"""

import math
import mmap
import struct
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import TeacherError

NIL, NUMBER, STRING, TABLE, TORCH, BOOLEAN = range(6)
FUNCTIONS = frozenset({6, 7, 8})
# Deeper than any network; a bound on what a crafted file can make the reader do.
MAX_DEPTH = 200
MAX_AXES = 16

_ELEMENT_TYPES = {
    "Byte": "<u1",
    "Char": "<i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
    "Cuda": "<f4",
    "CudaHalf": "<f2",
    "CudaDouble": "<f8",
    "CudaLong": "<i8",
}
_TENSORS = {f"torch.{name}Tensor": name for name in _ELEMENT_TYPES}
_STORAGES = {f"torch.{name}Storage": name for name in _ELEMENT_TYPES}
_PACKAGES = ("nn", "cudnn", "cunn", "fbnn")
_MODULES = (
    "Sequential",
    "ConcatTable",
    "CAddTable",
    "Concat",
    "DataParallelTable",
    "Identity",
    "MulConstant",
    "SpatialConvolution",
    "SpatialConvolutionMM",
    "SpatialBatchNormalization",
    "SpatialMaxPooling",
    "SpatialAveragePooling",
    "ReLU",
    "Dropout",
    "View",
    "Reshape",
    "Linear",
    "SoftMax",
    "LogSoftMax",
)
MODULE_CLASSES = frozenset(f"{package}.{name}" for package in _PACKAGES for name in _MODULES)


@dataclass(frozen=True)
class Torch7Storage:
    """A tensor's memory: `count` elements of one type, still in the file."""

    content: memoryview
    dtype: str
    count: int


@dataclass(frozen=True)
class Torch7Tensor:
    """A tensor that is not copied yet; sizes, strides and offset count elements."""

    storage: Torch7Storage | None
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    def tensor(self) -> Tensor:
        """Copy the values as float32; raises ValueError where they lie outside of the storage."""
        if self.storage is None or not self.sizes or 0 in self.sizes:
            return torch.empty(0)
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.sizes, self.strides, strict=True))
        if min(self.sizes) < 0 or min(self.strides) < 0 or self.offset < 0 or last >= self.storage.count:
            raise ValueError(f"a tensor of {list(self.sizes)} outside of its {self.storage.count} elements")
        if math.prod(self.sizes) > self.storage.count:
            raise ValueError(f"a tensor of {list(self.sizes)} that repeats its {self.storage.count} elements")
        flat = np.frombuffer(self.storage.content, dtype=self.storage.dtype)
        steps = tuple(stride * flat.itemsize for stride in self.strides)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.sizes, steps, writeable=False)
        return torch.from_numpy(view.astype(np.float32))


@dataclass
class Torch7Module:
    """A module of a known class.

    Attributes:
        class_name: such as ``nn.Linear``.
        fields: its Lua fields by name.
    """

    class_name: str
    fields: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def short_name(self) -> str:
        """The class without its package: ``cudnn.ReLU`` and ``nn.ReLU`` are the same layer."""
        return self.class_name.partition(".")[2]

    @property
    def children(self) -> list[Any]:
        """The modules of a container, in order."""
        modules = self.fields.get("modules", {})
        if not isinstance(modules, dict):
            return []
        return [modules[key] for key in sorted(key for key in modules if isinstance(key, float))]

    def tensor(self, name: str) -> Tensor | None:
        """Copy a field's tensor; None where the field is absent or empty."""
        value = self.fields.get(name)
        if not isinstance(value, Torch7Tensor):
            return None
        copied = value.tensor()
        return copied if copied.numel() else None

    def number(self, name: str, default: float) -> float:
        """Return a number field, or `default` where it is absent."""
        value = self.fields.get(name, default)
        if not isinstance(value, float | int):
            raise ValueError(f"{self.class_name}: field {name} is no number")
        return float(value)


def read_torch7(path: Path) -> Any:
    """Read the one object of a binary Torch7 file: a number, string, dict, `Torch7Tensor` or `Torch7Module`.

    Raises:
        TeacherError: no such file, a function or unknown class in it, or not a whole Torch7 file.
    """
    try:
        with path.open("rb") as stream:
            content = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        return _Reader(content, path).read_object("the file", 0)
    except (OSError, ValueError, struct.error) as error:
        raise TeacherError(f"{path}: not a whole binary Torch7 file ({error}); fetch the file again") from error


class _Reader:
    """Walk through the file once."""

    def __init__(self, content: memoryview, path: Path) -> None:
        self._content = content
        self._path = path
        self._position = 0
        self._seen: dict[int, Any] = {}

    def read_object(self, place: str, depth: int) -> Any:
        """Read one object; `place` says where it stands, for messages."""
        if depth > MAX_DEPTH:
            raise ValueError(f"{place} is nested deeper than {MAX_DEPTH}")
        kind = self._int()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return self._unpack("<d")
        if kind == STRING:
            return self._string()
        if kind == BOOLEAN:
            return self._int() == 1
        if kind in FUNCTIONS:
            raise TeacherError(
                f"{self._path}: refused: {place} is a Lua function (nothing was executed); "
                "expected weights alone: save the model after clearState() and without its functions"
            )
        if kind not in (TABLE, TORCH):
            raise ValueError(f"{place}: unknown type {kind} at byte {self._position}")
        index = self._int()
        if index in self._seen:
            return self._seen[index]
        return self._table(index, place, depth) if kind == TABLE else self._torch(index, place, depth)

    def _table(self, index: int, place: str, depth: int) -> dict[Hashable, Any]:
        table: dict[Hashable, Any] = {}
        self._seen[index] = table
        for _ in range(self._int()):
            key = self.read_object(f"a key of {place}", depth + 1)
            if not isinstance(key, str | float | bool):
                raise ValueError(f"{place}: a key that is neither text nor number")
            table[key] = self.read_object(f"{place}.{key:g}" if isinstance(key, float) else f"{place}.{key}", depth + 1)
        return table

    def _torch(self, index: int, place: str, depth: int) -> Any:
        class_name = self._string()
        if class_name.startswith("V "):
            class_name = self._string()
        if class_name in _STORAGES:
            return self._keep(index, self._storage(_ELEMENT_TYPES[_STORAGES[class_name]]))
        if class_name in _TENSORS:
            return self._keep(index, self._tensor(place, depth))
        if class_name not in MODULE_CLASSES:
            raise TeacherError(
                f"{self._path}: refused: {place} is of the class {class_name!r} (nothing was executed); "
                "known are tensors and the modules of residual networks"
            )
        module = Torch7Module(class_name)
        self._seen[index] = module
        fields = self.read_object(place, depth + 1)
        if not isinstance(fields, dict):
            raise ValueError(f"{place}: a {class_name} without a table of fields")
        module.fields.update(fields)
        return module

    def _keep(self, index: int, value: Any) -> Any:
        self._seen[index] = value
        return value

    def _tensor(self, place: str, depth: int) -> Torch7Tensor:
        num_axes = self._int()
        if not 0 <= num_axes <= MAX_AXES:
            raise ValueError(f"{place}: a tensor of {num_axes} axes")
        sizes = tuple(self._unpack("<q") for _ in range(num_axes))
        strides = tuple(self._unpack("<q") for _ in range(num_axes))
        # Lua counts from 1.
        offset = self._unpack("<q") - 1
        storage = self.read_object(place, depth + 1)
        if storage is not None and not isinstance(storage, Torch7Storage):
            raise ValueError(f"{place}: a tensor without a storage")
        return Torch7Tensor(storage, sizes, strides, offset)

    def _storage(self, dtype: str) -> Torch7Storage:
        count = self._unpack("<q")
        return Torch7Storage(self._take(count * np.dtype(dtype).itemsize), dtype, count)

    def _string(self) -> str:
        return bytes(self._take(self._int())).decode("latin1")

    def _int(self) -> int:
        return int(self._unpack("<i"))

    def _unpack(self, layout: str) -> Any:
        return struct.unpack(layout, self._take(struct.calcsize(layout)))[0]

    def _take(self, num_bytes: int) -> memoryview:
        if not 0 <= num_bytes <= len(self._content) - self._position:
            raise ValueError(f"{num_bytes} bytes announced at byte {self._position} of {len(self._content)}")
        taken = self._content[self._position : self._position + num_bytes]
        self._position += num_bytes
        return taken
