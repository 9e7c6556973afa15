"""Decoding processes work side by side, however fast their frames are taken: decoders that sleep stand for cores."""

import time
from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.label.decode_ahead import DecodeAhead
from pipeline.label.decoder import DecodedChunk
from pipeline.label.frame_ring import MAX_SLOTS, MIN_SLOTS, choose_num_slots
from tests.pipeline.label import slow_decoder

GIB = 1 << 30


def videos_of(lengths: list[int]) -> list[VideoRecord]:
    """Name videos of so many frames, as the slow decoder reads them."""
    return [VideoRecord(f"v{i}", Path(f"/{n}.mp4"), "train", 0, "c") for i, n in enumerate(lengths)]


def decode_all(lengths: list[int], num_processes: int) -> float:
    """Decode videos of so many frames; return the frames a second, in decoders' worth."""
    decoders = DecodeAhead(num_processes, slots_ahead=MAX_SLOTS, program=slow_decoder.__name__)

    def take(lengths: list[int]) -> int:
        return sum(
            len(event.hashes) for _, event in decoders.events(videos_of(lengths)) if isinstance(event, DecodedChunk)
        )

    # Their start is not what is measured.
    take([1] * num_processes)
    started = time.monotonic()
    num_frames = take(lengths)
    seconds = time.monotonic() - started
    decoders.close()
    return num_frames * slow_decoder.CHUNK_SEC / 16 / seconds


def test_eight_decoders_give_six_times_one_of_ten_second_clips() -> None:
    assert decode_all([304] * 16, 8) >= 6 * decode_all([304], 1)


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
