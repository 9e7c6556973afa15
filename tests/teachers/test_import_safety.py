"""A malicious pickle is refused whatever it calls itself and whatever format it is said to be; nothing runs."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import KinetError
from teachers.formats.caffe import read_mean_image
from teachers.formats.detect import FileFormat
from teachers.importing import ImportRequest, import_teacher
from teachers.kinds import Kind
from tests.teachers.test_importing import Trap

SUFFIXES = (".t7", ".caffemodel", ".pth.tar", ".safetensors", "")


def write_traps(folder: Path, sign: Path) -> list[Path]:
    """Write the trap bare, in both of torch's containers, and behind the first bytes of every other format."""
    files = []
    bare = [pickle.dumps(Trap(sign), protocol) for protocol in (0, 2, 4)]
    for suffix in SUFFIXES:
        for number, content in enumerate((*bare, b"\x0a\x04name" + bare[1], b"\x03\0\0\0\x01\0\0\0" + bare[1])):
            files.append(folder / f"bare{number}{suffix}")
            files[-1].write_bytes(content)
        for legacy in (False, True):
            files.append(folder / f"torch{legacy}{suffix}")
            torch.save({"a": Trap(sign)}, files[-1], _use_new_zipfile_serialization=not legacy)
    return files


@pytest.mark.parametrize("kind", list(Kind))
def test_traps_are_refused_in_one_line(tmp_path: Path, kind: Kind) -> None:
    sign = tmp_path / "executed"
    target = tmp_path / "out" / "teacher.safetensors"
    for file in write_traps(tmp_path, sign):
        for file_format in (None, *FileFormat):
            request = ImportRequest(file_format=file_format, architecture="resnet18" if kind == Kind.SCENE else None)
            with pytest.raises(KinetError) as refusal:
                import_teacher(kind, file, target, request)
            assert "\n" not in str(refusal.value)
            assert file.name in str(refusal.value)
    assert not sign.exists()
    assert not target.exists()


def test_a_mean_image_that_holds_code_is_refused(tmp_path: Path) -> None:
    sign = tmp_path / "executed"
    np.save(tmp_path / "mean.npy", np.array([Trap(sign)], dtype=object), allow_pickle=True)
    with pytest.raises(KinetError, match="no mean image"):
        read_mean_image(tmp_path / "mean.npy")
    assert not sign.exists()
