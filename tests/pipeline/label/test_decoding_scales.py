"""Decoding processes work side by side, however fast their frames are taken: decoders that sleep stand for cores."""

from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.label.decode_ahead import DecodeAhead, VideoEnd
from pipeline.label.frame_ring import MAX_SLOTS, MIN_SLOTS, choose_num_slots
from tests.pipeline.label import gated_decoder, slow_decoder

GIB = 1 << 30


def videos_of(lengths: list[int]) -> list[VideoRecord]:
    """Name videos of so many frames, as the slow decoder reads them."""
    return [VideoRecord(f"v{i}", Path(f"/{n}.mp4"), "train", 0, "c") for i, n in enumerate(lengths)]


def test_eight_decoders_of_ten_second_clips_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """While the first clip is asked for, all eight come to their last frames, or none of them ends."""
    folder = tmp_path / "8-of-304"
    folder.mkdir()
    records = [VideoRecord(str(i), folder / f"{i}.mp4", "train", 0, "c") for i in range(8)]
    decoders = DecodeAhead(8, slots_ahead=MAX_SLOTS, max_attempts=1, program=gated_decoder.__name__)
    events = [event for _, event in decoders.events(records)]
    decoders.close()
    ends = [event.done for event in events if isinstance(event, VideoEnd)]
    assert [(end.num_frames, end.reason) for end in ends] == [(304, None)] * 8


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
