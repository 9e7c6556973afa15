"""The wire format of Protocol Buffers: a message's fields, one after another, without copying their content.

Source: protobuf.dev, "Encoding". Only what Caffe's files use: groups are refused.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: as in the ``.proto`` file.
        wire_type: one of the module's constants.
        value: an int (varint), or the field's bytes.
    """

    number: int
    wire_type: int
    value: int | memoryview

    @property
    def content(self) -> memoryview:
        """The bytes of a nested message, string or packed list; raises ValueError for other fields."""
        if not isinstance(self.value, memoryview) or self.wire_type != LENGTH_DELIMITED:
            raise ValueError(f"field {self.number}: expected bytes, found wire type {self.wire_type}")
        return self.value

    @property
    def text(self) -> str:
        """A string field's value."""
        return bytes(self.content).decode("utf-8", errors="replace")

    @property
    def integer(self) -> int:
        """A varint field's value; raises ValueError for other fields."""
        if not isinstance(self.value, int):
            raise ValueError(f"field {self.number}: expected an integer, found wire type {self.wire_type}")
        return self.value

    @property
    def number32(self) -> float:
        """A float field's value; raises ValueError for other fields."""
        if not isinstance(self.value, memoryview) or self.wire_type != FIXED32:
            raise ValueError(f"field {self.number}: expected a float, found wire type {self.wire_type}")
        return float(struct.unpack("<f", self.value)[0])


def iterate_fields(message: memoryview) -> Iterator[Field]:
    """Give a message's fields in order.

    Raises:
        ValueError: the bytes are no message, or end too early.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"byte {position}: field number 0")
        if wire_type == VARINT:
            value, position = _read_varint(message, position)
            yield Field(number, wire_type, value)
            continue
        if wire_type == LENGTH_DELIMITED:
            size, position = _read_varint(message, position)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"byte {position}: wire type {wire_type}")
        if size > len(message) - position:
            raise ValueError(f"field {number}: {size} bytes announced, {len(message) - position} left")
        yield Field(number, wire_type, message[position : position + size])
        position += size


def read_packed_integers(field: Field) -> list[int]:
    """Read a repeated integer field, packed or a single element of an unpacked one."""
    if isinstance(field.value, int):
        return [field.value]
    values, position = [], 0
    while position < len(field.content):
        value, position = _read_varint(field.content, position)
        values.append(value)
    return values


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number at a position, and the position behind it."""
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if position + index >= len(message):
            raise ValueError("the message ends within a number")
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise ValueError(f"byte {position}: a number of more than {MAX_VARINT_BYTES} bytes")
