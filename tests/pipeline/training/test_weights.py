"""A file of weights is read whole, or refused in one line; nothing in it is ever executed."""

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pipeline.errors import CheckpointError
from pipeline.training.weights import read_state_dict


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state_dict", "model"])
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, wrapper: str | None, legacy: bool) -> None:
    state = {"module.a.weight": torch.arange(3.0), "b": torch.tensor(2)}
    torch.save(
        {"epoch": 3, wrapper: state} if wrapper else state,
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=not legacy,
    )
    found = read_state_dict(tmp_path / "w.pth")
    assert found.keys() == {"a.weight", "b"}
    assert torch.equal(found["a.weight"], torch.arange(3.0))


def test_safetensors_are_read(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.arange(4)}, tmp_path / "w.safetensors")
    assert torch.equal(read_state_dict(tmp_path / "w.safetensors")["a"], torch.arange(4))


class _Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.environ["HARM_DIR"],)


def test_code_in_a_file_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harm_dir = tmp_path / "harm"
    monkeypatch.setenv("HARM_DIR", str(harm_dir))
    torch.save({"conv1.weight": _Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(CheckpointError, match="nothing was executed"):
        read_state_dict(tmp_path / "harmful.pth")
    assert not harm_dir.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.pth", b""),
        ("text.pth", b"these are not weights\n"),
        ("cut.pth", None),
        ("empty.safetensors", b""),
        ("text.safetensors", b"these are not weights\n"),
    ],
)
def test_damaged_files_give_one_clear_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is None:
        torch.save({"weight": torch.zeros(1000)}, path)
        content = path.read_bytes()[:2000]
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=name) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < len(str(path)) + 150
    assert str(caught.value).endswith(("put an intact copy in its place", "save its model's state_dict() alone"))


def test_a_file_saved_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.arange(4)}, tmp_path / "w.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_state_dict(tmp_path / "w.pth")["a"], torch.arange(4))


def test_a_missing_file_and_a_whole_training_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        read_state_dict(tmp_path / "absent.pth")
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "run.pth")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_state_dict(tmp_path / "run.pth")
