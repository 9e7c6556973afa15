"""Decoding processes that die or hang on a video harm that video alone."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from manifests import VideoRecord
from pipeline.errors import Reason, WorkspaceError
from pipeline.label import decoder_end
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd, VideoRestarted
from pipeline.label.decoder import DECODER_PROGRAM, DecodedChunk, Decoder
from pipeline.label.messages import MAX_ATTEMPTS, DecodeLimits
from pipeline.processors import count_processors
from pipeline.video import read_frames
from tests.pipeline.label.conftest import Bench
from tests.processes import descendants, title
from tests.videos import moving_frames, write_video

REPOSITORY = Path(__file__).parents[3]


def decoders_of(pid: int) -> list[int]:
    """List the processes below a process that decode."""
    return [child for child in descendants(pid) if "decoder" in title(child)]


def children() -> list[int]:
    """List this process's own child processes that decode."""
    return decoders_of(os.getpid())


@pytest.fixture
def records(tmp_path: Path) -> list[VideoRecord]:
    # The first is longer than eight slots ahead: its decoder cannot be done with it before its frames are read.
    lengths = (400, 20, 30)
    return [
        VideoRecord(f"v{i}", write_video(tmp_path / f"v{i}.mp4", moving_frames(n, seed=i)), "train", 0, "c")
        for i, n in enumerate(lengths)
    ]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_end, "OUTSIDE_PAUSES_SEC", (0.1, 0.1))


def collect(decoders: DecodeAhead, records: list[VideoRecord], harm: int = 0, number: int = signal.SIGKILL):
    """Read all videos, signalling the first `harm` decoders met; return frames and ends by id, and restarts."""
    frames: dict[str, list[np.ndarray]] = {record.video_id: [] for record in records}
    ends, restarts = {}, 0
    for record, event in decoders.events(records):
        if isinstance(event, DecodedChunk):
            frames[record.video_id].append(event.pixels.copy())
            if harm and record.video_id == "v0":
                harm -= 1
                for pid in children():
                    os.kill(pid, number)
        elif isinstance(event, VideoRestarted):
            restarts += 1
            frames[record.video_id].clear()
        elif isinstance(event, VideoEnd):
            ends[record.video_id] = event
    return {name: np.concatenate(parts) if parts else None for name, parts in frames.items()}, ends, restarts


@pytest.mark.parametrize("num_processes", [1, 2, 5])
def test_videos_come_whole_and_in_order(records: list[VideoRecord], num_processes: int) -> None:
    decoders = DecodeAhead(num_processes)
    order = [record.video_id for record, event in decoders.events(records) if isinstance(event, VideoEnd)]
    assert order == ["v0", "v1", "v2"]
    frames, ends, restarts = collect(decoders, records)
    decoders.close()
    assert restarts == 0 and not children()
    for record in records:
        count = ends[record.video_id].done.num_frames
        np.testing.assert_array_equal(frames[record.video_id], read_frames(record.path, range(count)))


def test_a_decoder_killed_twice_costs_nothing(records: list[VideoRecord], short_pauses: None) -> None:
    decoders = DecodeAhead(1, slots_ahead=8)
    frames, ends, restarts = collect(decoders, records, harm=2)
    decoders.close()
    # From outside: no attempt of the video's.
    assert restarts == 2 and ends["v0"].attempts == 1
    assert ends["v0"].done.reason is None and ends["v0"].done.num_frames == 400
    np.testing.assert_array_equal(frames["v0"], read_frames(records[0].path, range(400)))
    assert ends["v1"].attempts == ends["v2"].attempts == 1


def test_a_video_that_always_kills_its_decoder_is_given_up_alone(records: list[VideoRecord]) -> None:
    decoders = DecodeAhead(1, slots_ahead=8)
    _, ends, _ = collect(decoders, records, harm=MAX_ATTEMPTS, number=signal.SIGSEGV)
    decoders.close()
    assert ends["v0"].done.reason is Reason.CRASHED and "SIGSEGV" in str(ends["v0"].done.message)
    assert ends["v0"].done.num_frames == 0
    assert ends["v1"].done.num_frames == 20 and ends["v2"].done.num_frames == 30


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_decoder_killed_from_outside_is_the_machines_trouble(
    records: list[VideoRecord], short_pauses: None, number: int
) -> None:
    decoders = DecodeAhead(1, slots_ahead=8)
    with pytest.raises(WorkspaceError, match=r"v0.mp4: its decoder was ended from outside by SIG\w+, 3 times"):
        collect(decoders, records, harm=3, number=number)
    # The labeller goes on to another shard with the same processes.
    _, ends, _ = collect(decoders, records)
    decoders.close()
    assert [end.done.reason for end in ends.values()] == [None, None, None]


def test_a_decoder_that_hangs_is_ended(records: list[VideoRecord]) -> None:
    decoders = DecodeAhead(1, stall_sec=2, slots_ahead=8)
    _, ends, _ = collect(decoders, records, harm=MAX_ATTEMPTS, number=signal.SIGSTOP)
    decoders.close()
    assert ends["v0"].done.reason is Reason.TIMEOUT
    assert ends["v1"].done.reason is None and not children()


def test_leaving_early_ends_no_video_wrongly(records: list[VideoRecord]) -> None:
    decoders = DecodeAhead(2)
    events = decoders.events(records)
    next(events)
    events.close()
    frames, ends, _ = collect(decoders, records)
    decoders.close()
    assert [ends[record.video_id].done.num_frames for record in records] == [400, 20, 30]
    assert frames["v2"] is not None and len(frames["v2"]) == 30


@pytest.mark.parametrize("asked", [(0, 1, 2), (0, 2, 1), (2, 1), (1,), ()])
def test_whatever_was_foreseen_what_is_asked_for_comes_whole(
    records: list[VideoRecord], asked: tuple[int, ...]
) -> None:
    """Videos that were begun for a next list, and others that are asked for after all."""
    decoders = DecodeAhead(2)
    list(decoders.events([records[2]], then=records))
    frames, ends, restarts = collect(decoders, [records[i] for i in asked])
    again, _, _ = collect(decoders, records)
    decoders.close()
    assert restarts == 0 and not children() and list(ends) == [f"v{i}" for i in asked]
    for i in asked:
        np.testing.assert_array_equal(frames[f"v{i}"], again[f"v{i}"])
        np.testing.assert_array_equal(frames[f"v{i}"], read_frames(records[i].path, range((400, 20, 30)[i])))


def test_a_decoder_killed_at_what_follows_costs_nothing(records: list[VideoRecord], short_pauses: None) -> None:
    decoders = DecodeAhead(1, slots_ahead=8)
    list(decoders.events([records[1]], then=records))
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    frames, ends, restarts = collect(decoders, records)
    decoders.close()
    assert restarts == 1 and ends["v0"].attempts == 1
    np.testing.assert_array_equal(frames["v0"], read_frames(records[0].path, range(400)))


POISON = "tests.pipeline.label.poison_decoder"


@pytest.mark.parametrize(
    ("harm", "reason", "words"),
    [
        ("leak", Reason.OUT_OF_MEMORY, "more than 0.6 GB"),
        ("hang", Reason.TIMEOUT, "gave nothing for 5 s"),
        ("half", Reason.TIMEOUT, "gave nothing for 5 s"),
        ("raise", Reason.CRASHED, "exit code 1 (KeyError: 'no such codec parameter'), in each of 3 attempts"),
    ],
)
def test_poison_is_named_and_its_neighbours_are_whole(
    records: list[VideoRecord], harm: str, reason: Reason, words: str
) -> None:
    path = records[1].path.rename(records[1].path.with_stem(harm))
    records[1] = dataclasses.replace(records[1], path=path)
    decoders = DecodeAhead(1, stall_sec=5, limits=DecodeLimits(memory_bytes=600_000_000), program=POISON)
    frames, ends, _ = collect(decoders, records)
    decoders.close()
    assert ends["v1"].done.reason is reason and words in str(ends["v1"].done.message)
    assert ends["v1"].done.num_frames == 0 and ends["v1"].attempts == MAX_ATTEMPTS
    for name, length in (("v0", 400), ("v2", 30)):
        assert ends[name].done.reason is None and ends[name].attempts == 1
        assert frames[name] is not None and len(frames[name]) == length
    assert not children()


def test_the_attempts_can_be_set(records: list[VideoRecord]) -> None:
    path = records[1].path.rename(records[1].path.with_stem("raise"))
    decoders = DecodeAhead(1, max_attempts=1, program=POISON)
    _, ends, restarts = collect(decoders, [dataclasses.replace(records[1], path=path), records[2]])
    decoders.close()
    assert restarts == 0 and ends["v1"].attempts == 1 and ends["v2"].done.num_frames == 30


def test_a_decoder_that_talks_without_end_is_not_held_up(records: list[VideoRecord]) -> None:
    path = records[1].path.rename(records[1].path.with_stem("spew"))
    decoders = DecodeAhead(1, stall_sec=20, program=POISON)
    _, ends, restarts = collect(decoders, [dataclasses.replace(records[1], path=path)] * 3)
    decoders.close()
    assert restarts == 0 and ends["v1"].done.num_frames == 20


@pytest.mark.parametrize(
    ("name", "limits", "words"),
    [
        ("v0.mp4", DecodeLimits(video_frames=100), "the header declares 400"),
        # A raw stream: nothing in it says how long it is.
        ("v0.h264", DecodeLimits(video_sec=1e-6), "none declared"),
    ],
)
def test_a_video_without_end_is_given_up_at_once(tmp_path: Path, name: str, limits: DecodeLimits, words: str) -> None:
    path = write_video(tmp_path / name, moving_frames(400))
    decoders = DecodeAhead(1, limits=limits)
    _, ends, restarts = collect(decoders, [VideoRecord("v0", path, "train", 0, "c")])
    decoders.close()
    message = str(ends["v0"].done.message)
    assert ends["v0"].done.reason is Reason.TIMEOUT and "still no end" in message and words in message
    assert ends["v0"].done.num_frames == 0 and restarts == 0


@pytest.mark.parametrize("name", ["declared.mp4", "duration.mkv"])
def test_a_video_takes_as_long_as_the_frames_that_it_declares(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, moving_frames(400))
    decoders = DecodeAhead(1, limits=DecodeLimits(video_sec=1e-6))
    _, ends, _ = collect(decoders, [VideoRecord("v0", path, "train", 0, "c")])
    decoders.close()
    assert ends["v0"].done.reason is None and ends["v0"].done.num_frames == 400


def test_the_second_decoder_takes_longer_than_a_decoder_may_be_silent(tmp_path: Path) -> None:
    path = write_video(tmp_path / "settling.mp4", moving_frames(40))
    decoders = DecodeAhead(1, stall_sec=3, program=POISON)
    _, ends, restarts = collect(decoders, [VideoRecord("v0", path, "train", 0, "c")])
    decoders.close()
    assert ends["v0"].done.reason is None and ends["v0"].done.num_frames == 40 and restarts == 0


def test_what_no_video_can_help_is_held_against_none(tmp_path: Path) -> None:
    path = write_video(tmp_path / "undecidable.mp4", moving_frames(20))
    decoders = DecodeAhead(1, program=POISON)
    with pytest.raises(WorkspaceError, match="no second decoder here"):
        collect(decoders, [VideoRecord("v0", path, "train", 0, "c")])
    decoders.close()
    assert not children()


def test_a_fifo_and_a_device_are_no_videos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")
    records = [VideoRecord(name, tmp_path / f"{name}.mp4", "train", 0, "c") for name in ("fifo", "zero")]
    decoders = DecodeAhead(1, stall_sec=20)
    _, ends, restarts = collect(decoders, records)
    decoders.close()
    assert {end.done.reason for end in ends.values()} == {Reason.UNREADABLE} and restarts == 0
    assert "FIFO" in str(ends["fifo"].done.message)


def test_a_hanging_decoder_does_not_outlive_its_killed_labeller(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\n"
        "from manifests import VideoRecord\n"
        "from pipeline.label.decode_ahead import DecodeAhead\n"
        f"record = VideoRecord('hang', Path({str(tmp_path)!r}) / 'hang.mp4', 'train', 0, 'c')\n"
        f"list(DecodeAhead(1, program={POISON!r}).events([record]))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}) as run:
        deadline = time.monotonic() + 60
        found: list[int] = []
        while not (found and (tmp_path / "hang.reached").exists()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            found = decoders_of(run.pid)
        # From the marker to pause(), which keeps the interpreter's lock.
        time.sleep(1)
        run.kill()
    while Path(f"/proc/{found[0]}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_processes_go_on_to_the_next_shard(bench: Bench) -> None:
    seen: set[int] = set()
    bench.label(lambda _: seen.update(children()), videos_per_shard=1)
    assert 0 < len(seen) <= count_processors()


def test_a_decoder_at_work_is_asked_for_nothing_else(records: list[VideoRecord]) -> None:
    """What it sends then would be taken for the other video's."""
    decoder = Decoder(DECODER_PROGRAM, DecodeLimits(), stall_sec=60, num_slots=8)
    decoder.start(records[1].path)
    with pytest.raises(ValueError, match=r"v2.mp4 while it is at .*v1.mp4"):
        decoder.start(records[2].path)
    while isinstance(decoder.receive(), DecodedChunk):
        pass
    decoder.start(records[2].path)
    decoder.close()
    decoder.start(records[1].path)
    decoder.close()
