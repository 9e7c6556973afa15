"""Say what a file of weights is by its content; suffixes are often wrong (``.pth.tar`` is no tar)."""

import struct
from enum import StrEnum
from pathlib import Path

from pipeline.errors import TeacherError

_HEAD_BYTES = 512


class FileFormat(StrEnum):
    """The formats that can be taken over."""

    SAFETENSORS = "safetensors"
    PYTORCH = "pytorch"
    TORCH7 = "torch7"
    CAFFE = "caffe"


def detect_format(path: Path) -> FileFormat:
    """Recognise the format of a file that is there; see `require_file`.

    Raises:
        TeacherError: none of the formats.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size:
        return FileFormat.SAFETENSORS
    # A zip archive, or a pickle of protocol 2 and above.
    if head.startswith(b"PK\x03\x04") or (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        return FileFormat.PYTORCH
    # Torch7 begins with a table (3) or an object (4), and its number 1.
    if head[:8] in (struct.pack("<2i", 3, 1), struct.pack("<2i", 4, 1)):
        return FileFormat.TORCH7
    # A NetParameter begins with its name, its V1 layers or its V2 layers.
    if (head[:1] in (b"\x0a", b"\x12") and not _is_text(head)) or head[:2] == b"\xa2\x06":
        return FileFormat.CAFFE
    hint = ""
    if head[:4] in (b"4\n1\n", b"3\n1\n"):
        hint = "; Torch7's ASCII form is not read: save it in the binary form"
    elif head[257:262] == b"ustar":
        hint = "; a tar archive: unpack it first"
    elif head.lstrip()[:1] == b"<":
        hint = "; it looks like a web page: the download failed"
    raise TeacherError(
        f"{path}: neither safetensors, PyTorch, Torch7 nor Caffe by its first bytes{hint}; --format says it otherwise"
    )


def require_file(path: Path) -> None:
    """Raise TeacherError where a checkpoint is not there, or is the folder of one."""
    if path.is_dir():
        raise TeacherError(f"{path}: a folder; give the checkpoint in it")
    if not path.is_file():
        raise TeacherError(f"{path}: no such file")


def _is_text(head: bytes) -> bool:
    """Say whether bytes are text: a page that begins with an empty line begins as a Caffe model's name does."""
    return not any(byte < 0x20 and byte not in b"\t\n\r\f" for byte in head)
