"""A checkpoint is whole or not there, and holds plain data only."""

import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from manifests.errors import KinetError
from pipeline.errors import CheckpointError
from pipeline.training.checkpoint import (
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    load_latest_checkpoint,
    save_checkpoint,
)

STATE = {"step": 3, "model": {"w": torch.arange(6.0)}, "list": [1, "two", None]}


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_round_trip_and_the_newest_two_stay(tmp_path: Path) -> None:
    for step in (3, 9, 10):
        save_checkpoint({**STATE, "step": step}, tmp_path, step=step)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000009.pt", "step-00000010.pt"]
    found = load_latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 10
    assert torch.equal(found["model"]["w"], torch.arange(6.0))
    assert found["list"] == [1, "two", None]


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "x": Harmful()}, "new.pt")
    Path("old.pt").write_bytes(pickle.dumps(Harmful()))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(CheckpointError, match="not plain data"):
            load_checkpoint(Path(name))
    assert not Path("harm").exists()


def test_a_damaged_newest_one_costs_steps_and_not_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = save_checkpoint(STATE, tmp_path, step=3), save_checkpoint({**STATE, "step": 4}, tmp_path, step=4)
    second.write_bytes(second.read_bytes()[:200])
    found = load_latest_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 3
    assert "damaged" in caplog.text
    first.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"damaged.*none of this run's checkpoints is whole"):
        load_latest_checkpoint(tmp_path)


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (3, 4):
        save_checkpoint({"step": step, "w": torch.full((1000,), 1.5)}, tmp_path, step=step)
    newest = checkpoint_path(tmp_path, 4)
    content = bytearray(newest.read_bytes())
    content[content.find(struct.pack("<4f", *[1.5] * 4)) + 400] ^= 0x10
    newest.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-00000004\.pt: damaged \(checksum of \S+/data/0\); put an intact"):
        load_checkpoint(newest)
    found = load_latest_checkpoint(tmp_path)
    assert found is not None and found["step"] == 3
    assert "taking the one before" in caplog.text


def test_no_checkpoint_is_none_and_another_format_an_error(tmp_path: Path) -> None:
    assert load_latest_checkpoint(tmp_path / "none") is None
    torch.save({"format": 99}, tmp_path / "step-00000001.pt")
    with pytest.raises(CheckpointError, match="expected format 1, found 99"):
        load_checkpoint(tmp_path / "step-00000001.pt")


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path) -> None:
    """A limit on the file's size stands for a disk that takes no more."""
    save_checkpoint(STATE, tmp_path, step=1)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, former[1]))
    try:
        with pytest.raises(KinetError, match=r"step-00000002\.pt.*(takes no more|cannot be written)"):
            save_checkpoint({"model": torch.zeros(100_000)}, tmp_path, step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]
    assert load_latest_checkpoint(tmp_path) is not None


def test_killed_at_any_moment_every_checkpoint_there_is_loads(tmp_path: Path) -> None:
    program = (
        "import sys, torch; from pathlib import Path; from pipeline.training.checkpoint import save_checkpoint\n"
        "for step in range(1, 10**6):\n"
        "    save_checkpoint({'step': step, 'w': torch.zeros(300_000)}, Path(sys.argv[1]), step=step)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    while not checkpoint_path(tmp_path, 3).exists() and process.poll() is None and len(list_checkpoints(tmp_path)) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = list_checkpoints(tmp_path)
    assert kept
    for path in kept:
        assert checkpoint_path(tmp_path, load_checkpoint(path)["step"]) == path
