"""Masks smoothed in time: the median of each frame's neighbourhood, whatever the batches, never across videos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import PlanError
from pipeline.label.mask_median import MedianMasks
from pipeline.label.product import FrameRows
from pipeline.label.recheck import recheck_frames
from pipeline.label.sets import label_set, require_plan
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.shards import LabelIndex
from pipeline.shards.schema import BOTH_TEACHERS
from tests.pipeline.label.conftest import Bench


class PlainRows:
    """Gives frames' own red channel as masks, `batch_size` frames at a time, over the ends of videos."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.held = np.empty((0, 4, 6, 3), np.uint8)
        self.busy_sec = 1.0
        self.present_sec = 0.0

    def add(self, pixels: NDArray[np.uint8]) -> list[FrameRows]:
        self.held = np.concatenate([self.held, pixels])
        full = len(self.held) // self.batch_size * self.batch_size
        return self.give(full)

    def end_video(self) -> list[FrameRows]:
        return []

    def finish(self) -> list[FrameRows]:
        return self.give(len(self.held))

    def give(self, num_frames: int) -> list[FrameRows]:
        given, self.held = self.held[:num_frames], self.held[num_frames:]
        parts = [given[start : start + self.batch_size] for start in range(0, num_frames, self.batch_size)]
        # The green channel numbers the frames.
        return [
            FrameRows(len(part), part[..., 0] > 0, np.repeat(part[:, 0, 0, 1:2].astype(np.int64), 5, 1))
            for part in parts
        ]


def median_of(masks: NDArray[np.bool_], window: int) -> NDArray[np.bool_]:
    radius = window // 2
    padded = np.pad(masks.astype(np.uint8), ((radius, radius), (0, 0), (0, 0)), mode="edge")
    return np.stack([np.median(padded[i : i + window], axis=0) > 0 for i in range(len(masks))])


@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("batch_size", [1, 4, 7])
def test_every_mask_is_the_median_of_its_own_videos(window: int, batch_size: int) -> None:
    generator = np.random.default_rng(window * 10 + batch_size)
    lengths = [1, 12, 2, 3, 0, 30, 4]
    pixels = [generator.integers(0, 2, (length, 4, 6, 3), np.uint8) for length in lengths]
    numbers = np.split(np.arange(sum(lengths), dtype=np.uint8), np.cumsum(lengths)[:-1])
    for video, video_numbers in zip(pixels, numbers, strict=True):
        video[..., 1] = video_numbers[:, None, None]
    maker = MedianMasks(PlainRows(batch_size), window)
    rows: list[FrameRows] = []
    for video in pixels:
        for chunk in np.array_split(video, 3):
            rows += maker.add(chunk)
        rows += maker.end_video()
    rows += maker.finish()
    assert all(row.masks is not None and len(row.masks) == row.num_frames for row in rows)
    masks = np.concatenate([row.masks for row in rows if row.masks is not None])
    expected = np.concatenate([median_of(video[..., 0] > 0, window) for video in pixels if len(video)])
    assert np.array_equal(masks, expected)
    scenes = np.concatenate([row.scene_indices for row in rows if row.scene_indices is not None])
    assert scenes[:, 0].tolist() == list(range(sum(lengths)))
    assert maker.busy_sec >= 1.0


def test_rows_come_half_a_window_late_and_no_later() -> None:
    maker = MedianMasks(PlainRows(1), 5)
    frames = np.zeros((6, 4, 6, 3), np.uint8)
    assert [sum(row.num_frames for row in maker.add(frame[None])) for frame in frames] == [0, 0, 1, 1, 1, 1]
    assert sum(row.num_frames for row in maker.end_video()) == 2


def read_masks(bench: Bench) -> dict[str, NDArray[np.bool_]]:
    index = LabelIndex(bench.shards_dir)
    masks = {name: index.read(name, list(range(index.num_frames(name)))).masks for name in index}
    return {name: mask for name, mask in masks.items() if mask is not None}


def test_label_smooths_each_video_and_a_resume_with_another_window_is_refused(bench: Bench, tmp_path: Path) -> None:
    bench.label()
    plain = read_masks(bench)
    smooth = Bench(tmp_path / "smooth")
    smooth.teachers = replace(smooth.teachers, mask_median=5)
    report = smooth.label()
    found = read_masks(smooth)
    assert found.keys() == plain.keys()
    assert report.frames == sum(map(len, plain.values()))
    for name, masks in plain.items():
        assert np.array_equal(found[name], median_of(masks, 5)), name
    assert any(not np.array_equal(found[name], plain[name]) for name in plain)

    plan = require_plan(label_set(smooth.workspace, "mix", BOTH_TEACHERS), "mix", smooth.records)
    settings = LabelSettings(batch_size=8)
    sample = recheck_frames(smooth.shards_dir, plan, smooth.records, smooth.teachers, settings, num_frames=60, seed=0)
    assert (sample.frames, sample.identical, sample.mismatches) == (60, 60, {})
    sorted(smooth.shards_dir.glob("*.h5"))[0].unlink()
    smooth.teachers = replace(smooth.teachers, mask_median=1)
    with pytest.raises(PlanError, match="mask_median: 5 then, nothing now"):
        smooth.label()


@pytest.mark.parametrize(("window", "kinds", "message"), [(4, ("human",), "odd"), (3, ("scene",), "human teacher")])
def test_a_window_that_cannot_be_is_refused(window: int, kinds: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TeacherSettings(Path("h"), Path("s"), kinds=kinds, mask_median=window)  # type: ignore[arg-type]
