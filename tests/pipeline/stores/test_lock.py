"""One run at a time at a folder, and an ended run's hold does not outlive it."""

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline import lock
from pipeline.errors import WorkspaceError
from pipeline.lock import EXPIRY_SEC, LEASE_NAME, Holder, only_run
from pipeline.store import locate, read_files, write_atomically


@pytest.mark.parametrize("place", ["local", "memory", "s3"])
def test_a_second_run_is_refused_until_the_first_ends(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = (tmp_path if place == "local" else locate(request.getfixturevalue(place))) / "folder"
    with only_run(folder) as hold:
        hold.check()
        refusal = f"another label run is at work here .process {os.getpid()} on "
        with pytest.raises(WorkspaceError, match=refusal), only_run(folder):
            raise AssertionError
    with only_run(folder):
        pass


@pytest.mark.parametrize("age_sec", [0.0, EXPIRY_SEC - 5, EXPIRY_SEC + 5])
def test_a_run_elsewhere_counts_as_ended_when_it_is_silent(memory: str, age_sec: float) -> None:
    folder = locate(memory)
    other = replace(Holder.myself(), host="elsewhere", alive_at=time.time() - age_sec)
    write_atomically(folder / LEASE_NAME, json.dumps(asdict(other)))
    if age_sec > EXPIRY_SEC:
        with only_run(folder):
            assert json.loads(next(read_files([folder / LEASE_NAME])))["token"] != other.token
    else:
        with pytest.raises(WorkspaceError, match=r"on elsewhere, alive \d+ s ago"), only_run(folder):
            raise AssertionError


def test_a_dead_process_of_this_machine_holds_nothing(memory: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = locate(memory)
    write_atomically(folder / LEASE_NAME, json.dumps(asdict(replace(Holder.myself(), pid=ended.pid))))
    with only_run(folder) as hold:
        hold.check()
        assert json.loads(next(read_files([folder / LEASE_NAME])))["pid"] == os.getpid()
    assert not (folder / LEASE_NAME).exists()


def test_a_run_that_was_taken_over_is_told(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "HEARTBEAT_SEC", 0.02)
    folder = locate(memory)
    with only_run(folder) as hold:
        time.sleep(0.1)
        hold.check()
        other = replace(Holder.myself(), host="elsewhere")
        deadline = time.monotonic() + 30
        while hold.lost_to is None and time.monotonic() < deadline:
            # Again and again: a heartbeat that had read just before would write over it.
            write_atomically(folder / LEASE_NAME, json.dumps(asdict(other)))
            time.sleep(0.01)
        with pytest.raises(WorkspaceError, match=r"another label run took over \(process \d+ on elsewhere\)"):
            hold.check()
    assert json.loads(next(read_files([folder / LEASE_NAME])))["token"] == other.token
