"""Write a checkpoint as PyTorch 0.2 did under Python 2: three small pickles, the checkpoint's, and the bare storages.

Source: pickle's opcodes (protocol 2) and torch/serialization.py of that time. Python 2's text is bytes: opcode U.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

PROTOCOL, STOP = b"\x80\x02", b"."
MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # LONG1 0x1950a86a20f9469cfc6c


def text(value: str) -> bytes:
    """SHORT_BINSTRING: what Python 2 wrote for str."""
    return b"U" + bytes([len(value)]) + value.encode()


def number(value: int) -> bytes:
    """BININT."""
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    """MARK ... TUPLE."""
    return b"(" + b"".join(map(number, values)) + b"t"


def pairs(items: list[tuple[bytes, bytes]]) -> bytes:
    """EMPTY_DICT MARK key value ... SETITEMS."""
    return b"}(" + b"".join(key + value for key, value in items) + b"u"


def tensor(key: int, array: np.ndarray) -> bytes:
    """torch._utils._rebuild_tensor(storage, offset, size, stride), the storage by its persistent id."""
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(str(key)) + text("cuda:0")
    storage += number(array.size) + b"NtQ"
    strides = tuple(stride // 4 for stride in array.strides)
    return b"ctorch._utils\n_rebuild_tensor\n(" + storage + number(0) + numbers(array.shape) + numbers(strides) + b"tR"


def write_python2_checkpoint(path: Path, state: dict[str, np.ndarray], extra: dict[str, bytes]) -> Path:
    """Write ``{..., "state_dict": OrderedDict(state)}``; `extra` holds the pickled values of other keys."""
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in state.items()}
    entries = b"".join(b"](" + text(name) + tensor(key, arrays[name]) + b"e" for key, name in enumerate(arrays))
    ordered = b"ccollections\nOrderedDict\n(](" + entries + b"etR"
    items: list[tuple[bytes, Any]] = [(text(name), value) for name, value in extra.items()]
    keys = b"](" + b"".join(text(str(key)) for key in range(len(arrays))) + b"e"
    system = pairs([(text("protocol_version"), b"M\xe9\x03"), (text("little_endian"), b"\x88")])
    chunks = [PROTOCOL + MAGIC + STOP, PROTOCOL + b"M\xe9\x03" + STOP, PROTOCOL + system + STOP]
    chunks += [PROTOCOL + pairs([*items, (text("state_dict"), ordered)]) + STOP, PROTOCOL + keys + STOP]
    chunks += [struct.pack("<q", array.size) + array.tobytes() for array in arrays.values()]
    path.write_bytes(b"".join(chunks))
    return path
