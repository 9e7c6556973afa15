"""Decoding processes work side by side, however fast their frames are taken: decoders that sleep stand for cores."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.errors import Reason
from pipeline.label.decode_ahead import DecodeAhead, DecodeEvent, VideoEnd
from pipeline.label.frame_ring import MAX_SLOTS, MIN_SLOTS, choose_num_slots
from tests.pipeline.label import gated_decoder, slow_decoder

GIB = 1 << 30


def videos_of(lengths: list[int]) -> list[VideoRecord]:
    """Name videos of so many frames, as the slow decoder reads them."""
    return [VideoRecord(f"v{i}", Path(f"/{n}.mp4"), "train", 0, "c") for i, n in enumerate(lengths)]


def meeting(folder: Path, num_videos: int, num_frames: int) -> list[VideoRecord]:
    """Name videos of which none ends before all are as far as their last frames."""
    folder = folder / f"{num_videos}-of-{num_frames}"
    folder.mkdir()
    return [VideoRecord(str(i), folder / f"{i}.mp4", "train", 0, "c") for i in range(num_videos)]


def ends_of(events: Iterable[DecodeEvent]) -> list[tuple[str, int, Reason | None]]:
    return [
        (record.video_id, event.done.num_frames, event.done.reason)
        for record, event in events
        if isinstance(event, VideoEnd)
    ]


def test_eight_decoders_of_ten_second_clips_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """While the first clip is asked for, all eight come to their last frames, or none of them ends."""
    records = meeting(tmp_path, 8, 304)
    decoders = DecodeAhead(8, slots_ahead=MAX_SLOTS, max_attempts=1, program=gated_decoder.__name__)
    ends = ends_of(decoders.events(records))
    decoders.close()
    assert ends == [(str(i), 304, None) for i in range(8)]


def test_a_process_with_nothing_else_to_do_begins_the_videos_that_follow(tmp_path: Path) -> None:
    """The first video ends only once the second one, of the next list, is as far."""
    first, second = meeting(tmp_path, 2, 40)
    decoders = DecodeAhead(2, slots_ahead=MAX_SLOTS, max_attempts=1, program=gated_decoder.__name__)
    ends = ends_of(decoders.events([first], then=[second])) + ends_of(decoders.events([second]))
    decoders.close()
    assert ends == [("0", 40, None), ("1", 40, None)]


@pytest.mark.parametrize(("lengths", "is_alone"), [([640], True), ([304, 304], False)])
def test_waiting_for_one_long_video_is_told_from_waiting_for_all(lengths: list[int], is_alone: bool) -> None:
    decoders = DecodeAhead(2, slots_ahead=MAX_SLOTS, program=slow_decoder.__name__)
    list(decoders.events(videos_of([16, 16])))
    waited, alone = decoders.wait_sec, decoders.alone_sec
    list(decoders.events(videos_of(lengths)))
    decoders.close()
    assert (decoders.alone_sec - alone > decoders.wait_sec - waited) is is_alone


@pytest.mark.parametrize(
    ("num_rings", "memory_gib", "num_processors", "slots"),
    [(16, 128, 16, MAX_SLOTS), (2, 24, 2, MAX_SLOTS), (8, 8, 8, 32), (4, 16, 64, 8), (16, 1, 2, MIN_SLOTS)],
)
def test_rings_take_an_eighth_of_the_machines_memory_at_most(
    num_rings: int, memory_gib: int, num_processors: int, slots: int
) -> None:
    found = choose_num_slots(num_rings, memory_bytes=memory_gib * GIB, num_processors=num_processors)
    assert found == slots
