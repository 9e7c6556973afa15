"""Write Caffe's binary form, from caffe.proto and the wire format of Protocol Buffers."""

import struct
from dataclasses import dataclass, field

import numpy as np


def varint(value: int) -> bytes:
    """Encode a number of seven bits a byte, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def integer(number: int, value: int) -> bytes:
    """Encode an integer field."""
    return varint(number << 3) + varint(value)


def message(number: int, content: bytes) -> bytes:
    """Encode a field of bytes: a string, a nested message, packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def single(number: int, value: float) -> bytes:
    """Encode a float field."""
    return varint(number << 3 | 5) + struct.pack("<f", value)


def blob(array: np.ndarray, *, old_shape: bool = False, double: bool = False) -> bytes:
    """Encode a BlobProto, with its shape or with the four sizes of old files."""
    if old_shape:
        sizes = (1,) * (4 - array.ndim) + array.shape
        head = b"".join(integer(number, size) for number, size in enumerate(sizes, start=1))
    else:
        head = message(7, message(1, b"".join(varint(size) for size in array.shape)))
    data = message(8, array.astype("<f8").tobytes()) if double else message(5, array.astype("<f4").tobytes())
    return head + data


@dataclass
class Layer:
    """One layer of a network.

    Attributes:
        parameters: for Convolution and Pooling: kernel, stride, pad; for BatchNorm: eps.
        packed: write repeated sizes packed, as proto3 programs do.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    top: str
    blobs: list[np.ndarray] = field(default_factory=list)
    parameters: dict[str, float] = field(default_factory=dict)
    packed: bool = False

    def encode(self, *, with_parameters: bool = True) -> bytes:
        """Encode a LayerParameter."""
        out = message(1, self.name.encode()) + message(2, self.type.encode())
        out += b"".join(message(3, bottom.encode()) for bottom in self.bottoms) + message(4, self.top.encode())
        out += b"".join(message(7, blob(array)) for array in self.blobs)
        if not with_parameters:
            return out
        if self.type == "Convolution":
            out += message(106, self._sizes({"pad": 3, "kernel": 4, "group": 5, "stride": 6, "dilation": 18}))
        elif self.type == "Pooling":
            sizes = {"average": 1, "kernel": 2, "stride": 3, "pad": 4, "everything": 12, "floor": 13}
            out += message(121, self._sizes(sizes))
        elif self.type == "BatchNorm" and "eps" in self.parameters:
            out += message(139, integer(1, 1) + single(3, self.parameters["eps"]))
        return out

    def encode_v1(self) -> bytes:
        """Encode a V1LayerParameter with blobs of four axes."""
        number = {"Convolution": 4, "InnerProduct": 14, "Pooling": 17, "ReLU": 18}[self.type]
        out = b"".join(message(2, bottom.encode()) for bottom in self.bottoms) + message(3, self.top.encode())
        out += message(4, self.name.encode()) + integer(5, number)
        out += b"".join(message(6, blob(array, old_shape=True)) for array in self.blobs)
        if self.type == "Convolution":
            out += message(10, self._sizes({"pad": 3, "kernel": 4, "stride": 6}))
        return out

    def _sizes(self, numbers: dict[str, int]) -> bytes:
        given = [(number, int(self.parameters[name])) for name, number in numbers.items() if name in self.parameters]
        if self.packed:
            return b"".join(message(number, varint(size)) for number, size in given)
        return b"".join(integer(number, size) for number, size in given)


def encode_net(layers: list[Layer], *, v1: bool = False, with_parameters: bool = True) -> bytes:
    """Encode a NetParameter."""
    out = message(1, b"a network")
    for layer in layers:
        out += message(2, layer.encode_v1()) if v1 else message(100, layer.encode(with_parameters=with_parameters))
    return out
