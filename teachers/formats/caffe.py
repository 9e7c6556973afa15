"""Read Caffe's binary files: networks (``.caffemodel``) and mean images (``.binaryproto``).

Both are Protocol Buffers messages of ``caffe.proto``; the field numbers below are that file's. Only names, types, blobs
and the parameters that weights cannot tell are read. The file is mapped, and a blob is copied only when it is asked
for.
"""

import math
import mmap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import TeacherError
from teachers.formats.protobuf import FIXED32, FIXED64, Field, iterate_fields, read_packed_integers

# Of V1LayerParameter.LayerType, those that have weights or that the layouts ask about; V2 names them by these strings.
V1_TYPES = {4: "Convolution", 14: "InnerProduct", 17: "Pooling", 18: "ReLU", 20: "Softmax", 25: "Eltwise"}


@dataclass(frozen=True)
class CaffeBlob:
    """One array of a layer.

    Attributes:
        shape: its dimensions; the old form (num, channels, height, width) always has four.
        chunks: little-endian float32 or float64 content, usually one piece.
        item_bytes: 4 or 8.
    """

    shape: tuple[int, ...]
    chunks: tuple[memoryview, ...]
    item_bytes: int

    def tensor(self) -> Tensor:
        """Copy the content as float32; raises ValueError where it does not fill the shape."""
        dtype = np.dtype("<f4") if self.item_bytes == 4 else np.dtype("<f8")
        parts = [np.frombuffer(chunk, dtype=dtype) for chunk in self.chunks]
        values = np.concatenate(parts) if parts else np.empty(0, dtype)
        if values.size != math.prod(self.shape):
            raise ValueError(f"a blob of {values.size} numbers, its shape says {list(self.shape)}")
        return torch.from_numpy(values.astype(np.float32).reshape(self.shape))


@dataclass(frozen=True)
class CaffeLayer:
    """One layer.

    Attributes:
        name, type: as in the file; V1's numbered types have their V2 names, unknown ones ``V1 type N``.
        blobs: its arrays.
        stride, pad, kernel: of a convolution or pooling, first axis; 0 where the file does not say.
        eps: of a BatchNorm layer.
        dilation, group: of a convolution; 0 where the file does not say.
        average: of a pooling: 1 for the mean, 0 for the maximum.
        everything: of a pooling: 1 where one window is the whole map.
        floor: of a pooling: 1 where its windows are counted by rounding down; Caffe's habit is up.
    """

    name: str
    type: str
    blobs: tuple[CaffeBlob, ...]
    stride: int = 0
    pad: int = 0
    kernel: int = 0
    dilation: int = 0
    group: int = 0
    average: int = 0
    everything: int = 0
    floor: int = 0
    eps: float = 1e-5


@dataclass
class _Draft:
    name: str = ""
    type: str = ""
    blobs: list[CaffeBlob] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    eps: float = 1e-5


# Field numbers: of the layer's name, type, blobs, and convolution_param, pooling_param (V1 has no BatchNorm).
_V2 = {1: "name", 2: "type", 7: "blob", 106: "convolution", 121: "pooling", 139: "batch_norm"}
_V1 = {4: "name", 5: "type", 6: "blob", 10: "convolution", 19: "pooling"}
_CONVOLUTION = {3: "pad", 4: "kernel", 5: "group", 6: "stride", 9: "pad", 11: "kernel", 13: "stride", 18: "dilation"}
_POOLING = {1: "average", 2: "kernel", 3: "stride", 4: "pad", 5: "kernel", 7: "stride", 9: "pad"}
_POOLING |= {12: "everything", 13: "floor"}


def read_caffemodel(path: Path) -> list[CaffeLayer]:
    """Read a network's layers in their order.

    Raises:
        TeacherError: no such file, or no network in it.
    """
    layers = []
    try:
        for entry in iterate_fields(_map(path)):
            if entry.number == 100:
                layers.append(_read_layer(entry.content, _V2))
            elif entry.number == 2:
                layers.append(_read_layer(entry.content, _V1))
    except ValueError as error:
        raise TeacherError(f"{path}: not a whole Caffe model ({error}); fetch the file again") from error
    if not any(layer.blobs for layer in layers):
        raise TeacherError(f"{path}: a Caffe model without weights ({len(layers)} layers)")
    return layers


def read_mean_image(path: Path) -> Tensor:
    """Read a mean image in Caffe's order BGR and in 0-255: float32 [3, H, W] of a ``.binaryproto`` or ``.npy`` file.

    Raises:
        TeacherError: no such file, or no image of three channels in it.
    """
    try:
        if path.suffix == ".npy":
            image = torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
        else:
            image = _read_blob(_map(path)).tensor()
    except (ValueError, OSError) as error:
        raise TeacherError(f"{path}: no mean image, as .binaryproto or .npy ({error})") from error
    if image.ndim == 4 and image.shape[0] == 1:
        image = image[0]
    if image.ndim != 3 or image.shape[0] != 3:
        raise TeacherError(f"{path}: a mean image of {list(image.shape)}, expected [3, height, width]")
    return image


def _map(path: Path) -> memoryview:
    try:
        with path.open("rb") as stream:
            return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise TeacherError(f"{path}: cannot be read ({error})") from error


def _read_layer(message: memoryview, names: dict[int, str]) -> CaffeLayer:
    draft = _Draft()
    for entry in iterate_fields(message):
        match names.get(entry.number):
            case "name":
                draft.name = entry.text
            case "type":
                number = entry.value
                draft.type = V1_TYPES.get(number, f"V1 type {number}") if isinstance(number, int) else entry.text
            case "blob":
                draft.blobs.append(_read_blob(entry.content))
            case "convolution":
                draft.sizes |= _read_sizes(entry.content, _CONVOLUTION)
            case "pooling":
                draft.sizes |= _read_sizes(entry.content, _POOLING)
            case "batch_norm":
                # Its field 3 is eps.
                draft.eps = next((sub.number32 for sub in iterate_fields(entry.content) if sub.number == 3), 1e-5)
            case _:
                pass
    return CaffeLayer(
        draft.name,
        draft.type,
        tuple(draft.blobs),
        stride=draft.sizes.get("stride", 0),
        pad=draft.sizes.get("pad", 0),
        kernel=draft.sizes.get("kernel", 0),
        dilation=draft.sizes.get("dilation", 0),
        group=draft.sizes.get("group", 0),
        average=draft.sizes.get("average", 0),
        everything=draft.sizes.get("everything", 0),
        floor=draft.sizes.get("floor", 0),
        eps=draft.eps,
    )


def _read_sizes(message: memoryview, names: dict[int, str]) -> dict[str, int]:
    sizes = {}
    for entry in iterate_fields(message):
        if entry.number in names and (values := read_packed_integers(entry)):
            sizes[names[entry.number]] = values[0]
    return sizes


def _read_blob(message: memoryview) -> CaffeBlob:
    """Read a BlobProto: data 5 or double_data 8, shape 7, or the old sizes 1 to 4."""
    floats: list[memoryview] = []
    doubles: list[memoryview] = []
    old_shape = [1, 1, 1, 1]
    shape: tuple[int, ...] | None = None
    for entry in iterate_fields(message):
        if entry.number == 7:
            shape = tuple(
                size for sub in iterate_fields(entry.content) if sub.number == 1 for size in read_packed_integers(sub)
            )
        elif entry.number == 5:
            floats.append(_numbers(entry, FIXED32))
        elif entry.number == 8:
            doubles.append(_numbers(entry, FIXED64))
        elif 1 <= entry.number <= 4:
            old_shape[entry.number - 1] = entry.integer
    return CaffeBlob(tuple(old_shape) if shape is None else shape, tuple(floats or doubles), 4 if floats else 8)


def _numbers(entry: Field, single: int) -> memoryview:
    """Return the bytes of packed numbers, or of one number that stands alone."""
    if isinstance(entry.value, memoryview) and entry.wire_type == single:
        return entry.value
    content = entry.content
    if len(content) % (4 if single == FIXED32 else 8):
        raise ValueError(f"a blob of {len(content)} bytes holds no whole numbers")
    return content
