"""PyTorch checkpoints of today and of Python 2; code in them is refused by name."""

import argparse
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import TeacherError
from teachers.formats.pytorch import read_pytorch
from tests.teachers.formats.python2_writer import number, text, write_python2_checkpoint


def test_a_python_2_checkpoint_comes_back(tmp_path: Path) -> None:
    state = {"module.a.weight": np.arange(6).reshape(2, 3), "module.b.bias": np.array([1.5])}
    extra = {"epoch": number(90), "arch": text("resnet18"), "best_prec1": b"G" + b"\x40\x4a\x80\x00\x00\x00\x00\x00"}
    read = read_pytorch(write_python2_checkpoint(tmp_path / "a.pth.tar", state, extra))
    assert read.architecture == "resnet18"
    assert read.beside == ("epoch", "arch", "best_prec1")
    assert {name: tensor.tolist() for name, tensor in read.state.items()} == {
        "module.a.weight": [[0, 1, 2], [3, 4, 5]],
        "module.b.bias": [1.5],
    }


def test_code_in_a_python_2_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    sign = tmp_path / "executed"
    call = b"cposix\nmkdir\n(" + text(str(sign)) + b"tR"
    file = write_python2_checkpoint(tmp_path / "a.pth.tar", {"a": np.zeros(2)}, {"arch": call})
    with pytest.raises(TeacherError, match=r"pickled code, posix\.mkdir \(nothing was executed\)"):
        read_pytorch(file)
    assert not sign.exists()
    # The bytes are a true call: what pickle itself would have made of them.
    sign.mkdir()
    with pytest.raises(FileExistsError):
        pickle.loads(b"\x80\x02" + call + b".")


@pytest.mark.parametrize("legacy", [False, True])
def test_scores_and_options_beside_the_weights_are_plain_data(tmp_path: Path, legacy: bool) -> None:
    beside = {"best_prec1": np.float64(54.5), "args": argparse.Namespace(lr=0.1), "optimizer": {"state": {}}}
    file = tmp_path / "a.pth"
    torch.save({"state_dict": {"a": torch.ones(2)}, **beside}, file, _use_new_zipfile_serialization=not legacy)
    read = read_pytorch(file)
    assert read.state["a"].tolist() == [1, 1]
    assert read.beside == tuple(beside)


def test_what_is_no_state_dict_is_named(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2), "step": 3}, tmp_path / "a.pth")
    with pytest.raises(TeacherError, match="'step' is no tensor"):
        read_pytorch(tmp_path / "a.pth")
