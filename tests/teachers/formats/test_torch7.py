"""Torch7 files written byte by byte are read back exactly; functions and strange classes are refused unexecuted."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import TeacherError
from teachers.formats.torch7 import Torch7Module, Torch7Tensor, read_torch7
from tests.teachers.formats.torch7_writer import LuaFunction, LuaModule, LuaTensor, Torch7Writer, tensor_of


def test_plain_values_and_tensors_come_back(tmp_path: Path) -> None:
    values = {
        dtype: np.arange(24, dtype=dtype).reshape(2, 3, 4) for dtype in ("float32", "float64", "float16", "int64")
    }
    table = {"text": "ä", "flag": True, "nothing": None, "number": 2.5, 1.0: "first", **values}
    read = read_torch7(Torch7Writer().write(table).save(tmp_path / "a.t7"))
    assert {key: read[key] for key in ("text", "flag", "nothing", "number", 1.0)} == {
        key: table[key] for key in ("text", "flag", "nothing", "number", 1.0)
    }
    for dtype, array in values.items():
        assert np.array_equal(read[dtype].tensor().numpy(), array.astype(np.float32))


def test_shared_and_strided_memory(tmp_path: Path) -> None:
    storage = np.arange(20, dtype=np.float32)
    flipped = LuaTensor(storage, (3, 2), (1, 3), offset=5)
    row = LuaTensor(storage, (4,), (5,), class_prefix="Float")
    module = LuaModule("nn.Linear", {"weight": flipped, "bias": row, "same": flipped})
    read = read_torch7(Torch7Writer().write(module).save(tmp_path / "a.t7"))
    assert isinstance(read, Torch7Module)
    assert read.fields["weight"] is read.fields["same"]
    assert read.fields["weight"].storage is read.fields["bias"].storage
    weight, bias = read.tensor("weight"), read.tensor("bias")
    assert weight is not None and bias is not None
    assert weight.tolist() == [[4, 7], [5, 8], [6, 9]]
    assert bias.tolist() == [0, 5, 10, 15]
    assert read.tensor("absent") is None


def test_a_tensor_of_a_gpu_is_read(tmp_path: Path) -> None:
    array = np.array([[1.5, -2]], np.float32)
    read = read_torch7(Torch7Writer().write(tensor_of(array, "Cuda")).save(tmp_path / "a.t7"))
    assert isinstance(read, Torch7Tensor)
    assert read.tensor().tolist() == array.tolist()


def test_functions_and_strange_classes_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a.t7"
    Torch7Writer().write(LuaModule("nn.Sequential", {"forward": LuaFunction()})).save(file)
    with pytest.raises(TeacherError, match=r"refused: the file\.forward is a Lua function \(nothing was executed\)"):
        read_torch7(file)
    Torch7Writer().write({"model": LuaModule("nn.Evil", {})}).save(file)
    with pytest.raises(TeacherError, match=r"the file\.model is of the class 'nn\.Evil' \(nothing was executed\)"):
        read_torch7(file)


@pytest.mark.parametrize(
    "tensor",
    [
        LuaTensor(np.zeros(4, np.float32), (5,), (1,)),
        LuaTensor(np.zeros(4, np.float32), (2,), (1,), offset=0),
        LuaTensor(np.zeros(4, np.float32), (4,), (-1,), offset=4),
        LuaTensor(np.zeros(4, np.float32), (1_000_000,), (0,)),
    ],
)
def test_a_tensor_outside_of_its_memory_is_refused(tmp_path: Path, tensor: LuaTensor) -> None:
    read = read_torch7(Torch7Writer().write(tensor).save(tmp_path / "a.t7"))
    with pytest.raises(ValueError, match="elements"):
        read.tensor()


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    file = Torch7Writer().write({"weights": np.zeros(100, np.float32), "name": "x"}).save(tmp_path / "a.t7")
    whole = file.read_bytes()
    deep: dict[str, object] = {}
    for _ in range(400):
        deep = {"next": deep}
    for content in (whole[:-1], whole[:30], b"", b"\x03\x00\x00\x00" * 9, b"".join(Torch7Writer().write(deep).chunks)):
        file.write_bytes(content)
        with pytest.raises(TeacherError, match="not a whole binary Torch7 file") as fault:
            read_torch7(file)
        assert "\n" not in str(fault.value)
