"""Decoding processes for which the system has not enough of something: one line, and nothing stays open."""

import contextlib
import itertools
import re
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.errors import WorkspaceError
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd
from pipeline.label.decoder import DECODER_PROGRAM, DecodedChunk, Decoder
from pipeline.label.messages import DecodeLimits
from tests.pipeline.label.test_decode_ahead import children, collect
from tests.videos import moving_frames, write_video


@pytest.fixture
def records(tmp_path: Path) -> list[VideoRecord]:
    return [
        VideoRecord(f"v{i}", write_video(tmp_path / f"v{i}.mp4", moving_frames(n, seed=i)), "train", 0, "c")
        for i, n in enumerate((40, 20, 30))
    ]


@contextlib.contextmanager
def descriptors_left(num_left: int) -> Iterator[None]:
    """Let this process open so many files more, and no others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = itertools.filterfalse(open_descriptors().__contains__, itertools.count())
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(itertools.islice(free, num_left, None)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_descriptors() -> set[int]:
    """Return the numbers of this process's open files; that of the listing is closed again."""
    return {int(entry.name) for entry in list(Path("/proc/self/fd").iterdir()) if entry.is_symlink()}


def start_with_few(decoder: Decoder, path: Path) -> int:
    """Let a process start with ever more descriptors; return how many it took, having seen each failure's end."""
    before = open_descriptors()
    for num_left in itertools.count():
        with descriptors_left(num_left):
            try:
                decoder.start(path)
            except WorkspaceError as error:
                assert re.match(r"decoding processes do not start on .* \(Too many open files\); .*ulimit", str(error))
            else:
                break
        assert open_descriptors() == before and not children()
    return num_left


def test_a_process_that_the_system_does_not_give_is_one_line_and_leaves_nothing_open(
    records: list[VideoRecord],
) -> None:
    before = open_descriptors()
    decoder = Decoder(DECODER_PROGRAM, DecodeLimits(), stall_sec=60, num_slots=8)
    # Memory, pipe, words, sockets and the process itself: each was what there was too little for.
    assert start_with_few(decoder, records[1].path) >= 9
    assert isinstance(decoder.receive(), DecodedChunk)
    decoder.close()
    assert open_descriptors() == before


def test_a_process_that_cannot_start_at_what_follows_spoils_nothing(records: list[VideoRecord]) -> None:
    spare = Decoder(DECODER_PROGRAM, DecodeLimits(), stall_sec=60, num_slots=8)
    enough_for_one = start_with_few(spare, records[1].path)
    spare.close()
    decoders = DecodeAhead(2)
    with descriptors_left(enough_for_one):
        events = decoders.events([records[1]], then=[records[2]])
        ends = [event for _, event in events if isinstance(event, VideoEnd)]
        assert len(children()) == 1
    # The same for what is asked for now.
    with pytest.raises(WorkspaceError, match="do not start"), descriptors_left(0):
        collect(decoders, records)
    _, later, _ = collect(decoders, records)
    decoders.close()
    assert ends[0].done.num_frames == 20 and [end.done.num_frames for end in later.values()] == [40, 20, 30]
