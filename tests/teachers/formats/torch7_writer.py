"""Write Torch7's binary form, from torch7's File.lua and generic/Tensor.c, for 64-bit little-endian machines."""

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ELEMENT_NAMES = {"float32": "Float", "float64": "Double", "float16": "Half", "int64": "Long"}


@dataclass(eq=False)
class LuaModule:
    """An object of a Lua class with a table of fields."""

    class_name: str
    fields: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class LuaFunction:
    """A function, as bytecode."""

    bytecode: bytes = b"\x1bLJ"
    upvalues: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class LuaTensor:
    """A tensor in a storage that others may share; `class_prefix` is "Cuda" for a GPU's."""

    storage: np.ndarray
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 1
    class_prefix: str | None = None


def tensor_of(array: np.ndarray, class_prefix: str | None = None) -> LuaTensor:
    """Make a contiguous tensor with a storage of its own."""
    strides = tuple(stride // array.itemsize for stride in np.ascontiguousarray(array).strides)
    return LuaTensor(np.ascontiguousarray(array).ravel(), array.shape, strides, class_prefix=class_prefix)


def lua_list(items: list[Any]) -> dict[Any, Any]:
    """Make a table with the keys 1, 2, ..."""
    return {float(number): item for number, item in enumerate(items, start=1)}


class Torch7Writer:
    """Collect the bytes of one object; what is written twice is written as a reference."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.indices: dict[int, int] = {}
        self.kept: list[Any] = []

    def write(self, value: Any) -> "Torch7Writer":
        match value:
            case None:
                self._ints(0)
            case bool():
                self._ints(5, int(value))
            case int() | float():
                self._ints(1)
                self.chunks.append(struct.pack("<d", value))
            case str():
                self._ints(2)
                self._string(value)
            case dict():
                if self._begin(3, value):
                    self._ints(len(value))
                    for key, item in value.items():
                        self.write(key)
                        self.write(item)
            case LuaFunction():
                if self._begin(8, value):
                    self._ints(len(value.bytecode))
                    self.chunks.append(value.bytecode)
                    self.write(value.upvalues)
            case LuaModule():
                if self._begin(4, value):
                    self._class(value.class_name)
                    self.write(value.fields)
            case LuaTensor():
                self._tensor(value)
            case np.ndarray():
                self._tensor(tensor_of(value))
            case _:
                raise TypeError(type(value))
        return self

    def save(self, path: Path) -> Path:
        path.write_bytes(b"".join(self.chunks))
        return path

    def _tensor(self, tensor: LuaTensor) -> None:
        name = tensor.class_prefix or ELEMENT_NAMES[str(tensor.storage.dtype)]
        if not self._begin(4, tensor):
            return
        self._class(f"torch.{name}Tensor")
        self._ints(len(tensor.sizes))
        self._longs(*tensor.sizes, *tensor.strides, tensor.offset)
        if self._begin(4, tensor.storage):
            self._class(f"torch.{name}Storage")
            self._longs(tensor.storage.size)
            self.chunks.append(tensor.storage.tobytes())

    def _begin(self, kind: int, value: Any) -> bool:
        """Write type and index; say whether the content is still to be written."""
        known = id(value) in self.indices
        index = self.indices.setdefault(id(value), len(self.indices) + 1)
        # Kept alive, so that no other object gets its address.
        self.kept.append(value)
        self._ints(kind, index)
        return not known

    def _class(self, name: str) -> None:
        self._string("V 1")
        self._string(name)

    def _string(self, text: str) -> None:
        self._ints(len(text))
        self.chunks.append(text.encode("latin1"))

    def _ints(self, *values: int) -> None:
        self.chunks.append(struct.pack(f"<{len(values)}i", *values))

    def _longs(self, *values: int) -> None:
        self.chunks.append(struct.pack(f"<{len(values)}q", *values))
