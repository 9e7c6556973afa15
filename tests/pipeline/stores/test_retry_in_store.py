"""Retrying and the journal where files have no rename and no append."""

import json
from pathlib import Path

import pytest
import s3fs
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.errors import WorkspaceError
from pipeline.label.blame import IN_PROCESS, MAX_DEATHS
from pipeline.label.journal import ShardJournal, forget_journals, read_history
from pipeline.store import find_files, locate
from tests.pipeline.label.conftest import Bench
from tests.pipeline.stores.test_label_into_store import TOYS, fill, run, shard_bytes
from tests.videos import moving_frames, write_video


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "workspace")


@pytest.mark.parametrize("store", ["memory", "s3"])
def test_a_retried_shard_is_that_of_a_run_with_the_good_video(
    store: str, bench: Bench, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(store)
    folder = fill(bench, url)
    run(url, "label", *TOYS, "--videos-per-shard", "8")
    path = next(record.path for record in bench.records if record.video_id == "empty")
    write_video(path, moving_frames(50, seed=9))
    retried = run(url, "retry", "--reason", "empty_file", *TOYS, "--json")
    assert json.loads(retried.stdout)["retried"] == 1, retried.output
    bench.label(videos_per_shard=8)
    assert shard_bytes(folder) == bench.shard_bytes()
    assert not [path.name for path in find_files(folder, "*") if path.suffix in (".next", ".journal", ".part")]
    assert json.loads(run(url, "verify", "--jobs", "1", "--json").stdout)["ok"]


def test_a_journal_in_a_store_outlives_its_worker(memory: str) -> None:
    path = locate(memory) / "s.journal"
    for number in range(1 + MAX_DEATHS):
        journal = ShardJournal(path, "run")
        journal.note(["a", "b"] if number == 0 else ["a"], alone=number > 0, frames=5)
    assert read_history(path, "run").condemned["a"].attempts == MAX_DEATHS
    forget_journals(locate(memory), "s")
    assert not path.exists()


def die_at(path: Path, num_frames: int) -> ShardJournal:
    """Leave what a worker leaves that dies with a video alone after so many frames; return its journal."""
    journal = ShardJournal(path, IN_PROCESS)
    for frames in range(16, num_frames + 16, 16):
        journal.note(["long"], alone=True, frames=min(frames, num_frames))
    return journal


def test_a_long_video_takes_few_uploads_of_a_small_journal(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads: list[int] = []
    upload = MemoryFileSystem.pipe_file

    def counted(filesystem: MemoryFileSystem, path: str, value: bytes, **options: object) -> None:
        uploads.append(len(value))
        upload(filesystem, path, value, **options)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", counted)
    path = locate(memory) / "s.journal"
    journal = die_at(path, 500_000)
    assert len(uploads) < 600 and max(uploads) < 200
    assert len(path.read_bytes().splitlines()) == 2
    # Decoded again, and followed by another: what came before the last line stays.
    journal.note(["long"], alone=True, frames=16)
    journal.note(())
    journal.note(["next"], alone=True, frames=16)
    history = read_history(path, IN_PROCESS)
    assert history.suspects == {"next"} and history.any_passed


@pytest.mark.parametrize(("first", "second"), [(16, 32), (1008, 1024), (2000, 2048), (300_000, 301_500)])
def test_a_journal_in_a_store_tells_the_places_of_deaths_apart(memory: str, first: int, second: int) -> None:
    path = locate(memory) / "s.journal"
    for _ in range(MAX_DEATHS - 1):
        die_at(path, first)
        die_at(path, second)
    assert read_history(path, IN_PROCESS).suspects == {"long"}
    for _ in range(MAX_DEATHS - 1):
        die_at(path, second)
    assert read_history(path, IN_PROCESS).condemned["long"].attempts == MAX_DEATHS


def test_a_journal_in_a_store_that_does_not_answer_is_one_line(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = locate(s3) / "s.journal"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(WorkspaceError, match=r"s.journal: cannot be read .*credentials and network"):
        read_history(path, "run")
    s3fs.S3FileSystem.clear_instance_cache()
