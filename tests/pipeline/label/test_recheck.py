"""Frames labelled again: drawn evenly from a seed, and every kind of difference measured."""

from collections import Counter

import numpy as np
import pytest

from pipeline.errors import PlanError
from pipeline.label.batches import TeacherBatches
from pipeline.label.differences import Tolerance, compare_labels, find_fault
from pipeline.label.recheck import draw_frames, recheck_frames
from pipeline.label.sets import label_set, require_plan
from pipeline.label.settings import LabelSettings
from pipeline.shards import FrameLabels, LabelIndex
from pipeline.shards.schema import BOTH_TEACHERS
from tests.pipeline.label.conftest import Bench
from tests.pipeline.shards.made import make_labels


@pytest.fixture
def labelled(bench: Bench) -> Bench:
    bench.label()
    return bench


def test_frames_are_drawn_from_the_seed_without_repeats(labelled: Bench) -> None:
    index = LabelIndex(labelled.shards_dir)
    drawn = draw_frames(index, 50, seed=1)
    assert drawn == draw_frames(index, 50, seed=1) != draw_frames(index, 50, seed=2)
    assert sum(map(len, drawn.values())) == 50
    everything = draw_frames(index, 10**6, seed=1)
    assert everything == {video_id: list(range(index.num_frames(video_id))) for video_id in sorted(index)}


def test_each_frame_is_as_likely_as_any_other(labelled: Bench) -> None:
    index = LabelIndex(labelled.shards_dir)
    total = sum(index.num_frames(video_id) for video_id in index)
    hits: Counter[tuple[str, int]] = Counter()
    for seed in range(400):
        for video_id, frames in draw_frames(index, total // 4, seed).items():
            hits.update((video_id, frame) for frame in frames)
    assert len(hits) == total
    assert min(hits.values()) > 60 and max(hits.values()) < 140  # 100 expected, standard deviation 8.7


def test_another_teacher_is_refused(labelled: Bench) -> None:
    labelled.teachers.scene_path.write_text("another")
    plan = require_plan(label_set(labelled.workspace, "mix", BOTH_TEACHERS), "mix", labelled.records)
    with pytest.raises(PlanError, match="scene_teacher"):
        recheck_frames(
            labelled.shards_dir,
            plan,
            labelled.records,
            labelled.teachers,
            LabelSettings(batch_size=8),
            num_frames=3,
            seed=0,
        )


def test_frames_of_several_videos_share_a_batch(labelled: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    run = TeacherBatches._run
    monkeypatch.setattr(TeacherBatches, "_run", lambda self: batches.append(1) or run(self))
    plan = require_plan(label_set(labelled.workspace, "mix", BOTH_TEACHERS), "mix", labelled.records)
    report = recheck_frames(
        labelled.shards_dir,
        plan,
        labelled.records,
        labelled.teachers,
        LabelSettings(batch_size=8),
        num_frames=80,
        seed=0,
    )
    assert report.frames == report.identical == 80 and report.videos > 4
    assert len(batches) <= 80 // 8 + 2


def changed(labels: FrameLabels, **changes: np.ndarray) -> FrameLabels:
    return labels._replace(**changes)


def test_differences_are_measured_and_judged() -> None:
    tolerance = Tolerance(pixel_share=0.01, prob=0.03)
    probs = np.array([[0.5, 0.2, 0.1, 0.05, 0.01]], np.float16)
    stored = make_labels(np.random.default_rng(0), 1)._replace(scene_probs=probs)
    same = compare_labels(stored, stored, 0, tolerance)
    assert same.identical and same.iou == 1 and find_fault(same, tolerance) is None

    masks = stored.masks.copy()
    masks.reshape(-1)[:8] ^= True  # 8 of 816 pixels: just below one in a hundred
    near = compare_labels(stored, changed(stored, masks=masks), 0, tolerance)
    before = stored.masks[0]
    assert near.pixel_share == 8 / before.size and not near.identical and find_fault(near, tolerance) is None
    assert near.iou == (before & masks[0]).sum() / (before | masks[0]).sum()
    masks.reshape(-1)[8:9] ^= True
    assert "of the mask differs" in str(
        find_fault(compare_labels(stored, changed(stored, masks=masks), 0, tolerance), tolerance)
    )

    swapped = changed(stored, scene_indices=stored.scene_indices[:, [1, 0, 2, 3, 4]])
    assert find_fault(compare_labels(stored, swapped, 0, tolerance), tolerance) == "the best scene differs"
    tied = changed(stored, scene_probs=np.array([[0.3, 0.28, 0.1, 0.05, 0.01]], np.float16))
    assert (
        find_fault(compare_labels(tied, changed(swapped, scene_probs=tied.scene_probs), 0, tolerance), tolerance)
        is None
    )

    lower = changed(stored, scene_probs=probs - np.float16(0.005) * (np.arange(5) == 0))
    assert find_fault(compare_labels(stored, lower, 0, tolerance), tolerance) is None
    lower = changed(stored, scene_probs=(probs * np.array([0.9, 1, 1, 1, 1])).astype(np.float16))
    assert "probability differs by 0.05" in str(find_fault(compare_labels(stored, lower, 0, tolerance), tolerance))
