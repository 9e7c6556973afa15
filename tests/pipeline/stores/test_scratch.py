"""What killed processes leave in the scratch folder goes after a day; what a live one is at stays, however old."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.label.settings import LabelSettings
from pipeline.label.worker import ShardWorker
from pipeline.local_copies import STALE_SEC, local_copy, local_edit, sweep_scratch
from pipeline.shards import LabelIndex, ShardWriter
from pipeline.store import locate, write_atomically
from tests.pipeline.label.conftest import Bench
from tests.pipeline.shards.made import make_header
from tests.pipeline.stores.test_label_into_store import REPOSITORY, SIZE, TOYS, fill, run


def age(path: Path, seconds: float = STALE_SEC + 60) -> Path:
    """Let a file or folder, and what it holds, look as if it was last changed so long ago."""
    changed = time.time() - seconds
    for aged in (*path.glob("**/*"), path):
        os.utime(aged, (changed, changed))
    return path


def leave(cache: Path) -> list[Path]:
    """Leave a shard's half file and a folder with a copy in it, as a process does that is killed; both old."""
    scratch = cache / "scratch"
    folder = scratch / "tmpabc" / "deeper"
    folder.mkdir(parents=True)
    (folder / "teacher.safetensors").write_bytes(b"x" * 1000)
    part = scratch / "train-00000-of-00001.h5.0123456789ab.part"
    part.write_bytes(b"x" * 1000)
    return [age(part), age(folder.parent)]


def test_what_is_a_day_old_goes_and_the_rest_stays(cache: Path) -> None:
    sweep_scratch()
    left = leave(cache)
    part = cache / "scratch" / "young.part"
    part.touch()
    age(part, STALE_SEC - 600)
    sweep_scratch()
    assert not any(path.exists() for path in left) and part.exists()


def test_what_a_process_is_at_stays_however_old(cache: Path, memory: str) -> None:
    folder = locate(memory) / "folder"
    write_atomically(folder / "a", "content")
    with local_copy(folder / "a") as copy, local_edit(folder, ["b"]) as edited:
        with ShardWriter(folder / "s.h5", make_header()) as writer:
            for used in (copy.parent, edited, writer.part_path):
                age(used)
            sweep_scratch()
            assert copy.read_text() == "content" and edited.is_dir() and writer.part_path.exists()
            writer.commit()
        (edited / "b").write_text("new")
    assert (folder / "b").read_text() == "new" and (folder / "s.h5").exists()
    assert not list((cache / "scratch").iterdir())


def test_a_lock_goes_with_a_killed_process(cache: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from pipeline.local_copies import local_copy; "
        "from pipeline.shards import ShardWriter; from pipeline.store import locate, write_atomically; "
        "from tests.pipeline.shards.made import make_header; folder = locate('memory://kinet/w'); "
        "write_atomically(folder / 'a', 'x'); writer = ShardWriter(folder / 's.h5', make_header()); "
        "copy = local_copy(folder / 'a'); copy.__enter__(); print('ready', flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        scratch = cache / "scratch"
        left = [age(path) for path in scratch.iterdir()]
        assert sorted(path.is_dir() for path in left) == [False, True]
        sweep_scratch()
        assert sorted(scratch.iterdir()) == sorted(left)
        process.send_signal(signal.SIGKILL)
    sweep_scratch()
    assert not list(scratch.iterdir())


def test_what_cannot_be_removed_is_named_and_hinders_nothing(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    left = leave(cache)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    link = cache / "scratch" / "a link"
    link.symlink_to(elsewhere)
    age(elsewhere)
    with caplog.at_level(logging.INFO):
        sweep_scratch()
    assert f"{link}: cannot be removed (" in caplog.text
    assert (elsewhere / "file").exists() and not any(path.exists() for path in left)


def test_a_worker_that_starts_for_a_store_sweeps(tmp_path: Path, cache: Path, memory: str) -> None:
    bench = Bench(tmp_path / "workspace")
    left = leave(cache)
    ShardWorker(bench.teachers, LabelSettings(), bench.shards_dir, num_cpus=1).close()
    assert all(path.exists() for path in left)
    ShardWorker(bench.teachers, LabelSettings(), locate(memory) / "shards" / "mix", num_cpus=1).close()
    assert not any(path.exists() for path in left)


def test_a_reader_that_fetches_a_shard_sweeps(tmp_path: Path, cache: Path, memory: str) -> None:
    folder = fill(Bench(tmp_path / "workspace"), memory)
    assert run(memory, "label", *TOYS, *SIZE).exit_code == 0
    left = leave(cache)
    index = LabelIndex(folder)
    index.read(next(iter(index)), [0])
    assert not any(path.exists() for path in left)
