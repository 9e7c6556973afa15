"""A video that hangs its decoder, or a reading process that dies, cannot hang a run."""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import pytest

from student.clips import ClipReader, LabelledFrames
from student.dataset import EvaluationDataset, TrainDataset
from student.loading import LoadingError, StepPlan, read_batches, read_one_by_one
from student.transforms import MultiScaleCrop


@dataclass
class TroubledReader(ClipReader):
    """Reads real videos, but one of them hangs (sleeps), or takes its process with it."""

    inner: ClipReader
    bad_id: str
    crash: bool = False

    def num_frames(self, record: Any) -> int:
        return self.inner.num_frames(record)

    def read(self, record: Any, frame_indices: Any) -> LabelledFrames:
        if record.video_id == self.bad_id:
            if self.crash:
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        return self.inner.read(record, frame_indices)


def train_set(boxes, bad_id: str, *, crash: bool = False) -> TrainDataset:  # type: ignore[no-untyped-def]
    reader = TroubledReader(ClipReader(None), bad_id, crash)
    return TrainDataset(boxes.records, reader=reader, num_segments=3, crop=MultiScaleCrop(48), seed=0)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_hanging_video_is_dropped_by_reason_and_all_else_is_read(boxes, workers: int) -> None:  # type: ignore[no-untyped-def]
    plan = StepPlan(num_videos=6, batch_size=6, micro_batch=2, epochs=1, seed=3)
    plain = TrainDataset(boxes.records, reader=ClipReader(None), num_segments=3, crop=MultiScaleCrop(48), seed=0)
    expected = list(read_batches(plain, plan, start_step=0, loader_workers=0, pin_memory=False))
    found = list(
        read_batches(
            train_set(boxes, "box3"), plan, start_step=0, loader_workers=workers, pin_memory=False, timeout_sec=2
        )
    )
    hung = next(n for n in range(3) if 3 in [key.item for key in plan.micro_batch_at(n)])
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        if number == hung:
            assert "box3" in {video.video_id for video in other.dropped}
            assert {video.reason for video in other.dropped} == {"timeout"}
            assert len(other.dropped) == 2
        else:
            assert one.frames.equal(other.frames)


def test_a_reading_process_that_dies_ends_the_run_in_one_line(boxes) -> None:  # type: ignore[no-untyped-def]
    plan = StepPlan(num_videos=6, batch_size=6, micro_batch=2, epochs=1, seed=3)
    batches = read_batches(
        train_set(boxes, "box3", crash=True), plan, start_step=0, loader_workers=1, pin_memory=False, timeout_sec=20
    )
    with pytest.raises(LoadingError, match=r"reading process died.*--loader-workers"):
        list(batches)


def test_a_hanging_video_is_missing_from_an_evaluation(boxes) -> None:  # type: ignore[no-untyped-def]
    dataset = EvaluationDataset(boxes.records[:3], num_segments=3, input_size=48)
    dataset._reader = TroubledReader(ClipReader(None), "box1")
    found = list(read_one_by_one(dataset, loader_workers=1, timeout_sec=2))
    assert [getattr(item, "reason", "read") for item in found] == ["read", "timeout", "read"]
    assert [item.video_id for item in found] == ["box0", "box1", "box2"]
