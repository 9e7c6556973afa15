"""Samples are reproducible, their labels lie on their frames, and what cannot be used is counted and named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests.errors import ManifestError
from manifests.record import VideoRecord
from pipeline.errors import ShardError
from student.clips import ClipReader, select_records
from student.dataset import (
    ClipKey,
    DroppedVideo,
    EvaluationClip,
    EvaluationDataset,
    TrainClip,
    TrainDataset,
    collate_clips,
)
from student.loading import StepPlan, read_batches
from student.transforms import MultiScaleCrop

CROP = MultiScaleCrop(input_size=64)


def make_dataset(records, labels, *, seed=0, cache_bytes=0):  # type: ignore[no-untyped-def]
    reader = ClipReader(labels, cache_bytes=cache_bytes)
    return TrainDataset(records, reader=reader, num_segments=3, crop=CROP, seed=seed)


def read(dataset: TrainDataset, epoch: int, item: int) -> TrainClip:
    clip = dataset[ClipKey(epoch, item)]
    assert isinstance(clip, TrainClip)
    return clip


def test_masks_lie_on_their_frames_after_sampling_and_cropping(boxes) -> None:  # type: ignore[no-untyped-def]
    dataset = make_dataset(boxes.records, boxes.labels)
    with_box = 0
    for epoch in range(4):
        for item in range(len(dataset)):
            clip = read(dataset, epoch, item)
            assert clip.frames.shape == (3, 3, 64, 64)
            assert clip.frames.dtype == torch.uint8
            green = clip.frames[:, 1]
            clear = (green < 90) | (green > 160)
            agree = ((green > 125) == clip.masks)[clear].float().mean()
            assert agree > 0.995
            assert clip.has_label.all()
            assert clip.scene_indices[:, 0].tolist() == [item] * 3
            with_box += clip.masks.any().item()
    assert with_box > 12


def test_a_sample_depends_on_seed_epoch_and_item_alone(boxes) -> None:  # type: ignore[no-untyped-def]
    first, second = make_dataset(boxes.records, boxes.labels), make_dataset(boxes.records, boxes.labels)
    read(first, 0, 0)
    for one, other in zip(read(first, 3, 2), read(second, 3, 2), strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    assert not torch.equal(read(first, 3, 2).frames, read(first, 4, 2).frames)
    other_seed = make_dataset(boxes.records, boxes.labels, seed=1)
    assert not torch.equal(read(first, 3, 2).frames, read(other_seed, 3, 2).frames)


@pytest.mark.parametrize("cache_bytes", [0, 10**9, 3_000_000])
def test_the_cache_and_the_workers_change_nothing(boxes, cache_bytes: int) -> None:  # type: ignore[no-untyped-def]
    plan = StepPlan(num_videos=6, batch_size=4, micro_batch=3, epochs=2, seed=5)
    plain = make_dataset(boxes.records, boxes.labels)
    cached = make_dataset(boxes.records, boxes.labels, cache_bytes=cache_bytes)
    expected = list(read_batches(plain, plan, start_step=0, loader_workers=0, pin_memory=False))
    workers = 2 if cache_bytes else 1
    found = list(read_batches(cached, plan, start_step=0, loader_workers=workers, pin_memory=False))
    assert [len(batch.action) for batch in found] == [3, 1, 3, 1]
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.masks, other.masks)


def test_a_frame_that_is_not_the_labelled_one_loses_its_label_and_is_named(mislabelled_boxes) -> None:  # type: ignore[no-untyped-def]
    clip = read(make_dataset(mislabelled_boxes.records, mislabelled_boxes.labels), 0, 0)
    assert not clip.has_label.any()
    assert not clip.masks.any()
    assert clip.scene_indices.eq(-1).all()
    assert len(clip.mismatched) == 3
    batch = collate_clips([clip])
    assert [name for name, _ in batch.mismatched] == ["box0"] * 3


class OneTeacher:
    """The labels of one teacher alone; `conflicts` marks every frame as labelled differently by another set."""

    def __init__(self, labels, kind: str, *, conflicts: bool = False) -> None:  # type: ignore[no-untyped-def]
        self.labels, self.kind, self.conflicts = labels, kind, conflicts

    def __contains__(self, video_id: object) -> bool:
        return video_id in self.labels

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        return getattr(self.labels, name)

    def read(self, video_id, frame_indices):  # type: ignore[no-untyped-def]
        found = self.labels.read(video_id, frame_indices)
        found = found._replace(conflicting=np.full(len(found.valid), self.conflicts))
        if self.kind == "human":
            return found._replace(scene_indices=None, scene_probs=None)
        return found._replace(masks=None) if self.kind == "scene" else found


def test_the_label_of_a_teacher_that_is_not_there_is_absent(boxes) -> None:  # type: ignore[no-untyped-def]
    both = read(make_dataset(boxes.records, boxes.labels), 0, 0)
    scene = read(make_dataset(boxes.records, OneTeacher(boxes.labels, "scene")), 0, 0)
    human = read(make_dataset(boxes.records, OneTeacher(boxes.labels, "human")), 0, 0)
    assert both.has_mask.all() and human.has_mask.all() and not scene.has_mask.any() and scene.has_label.all()
    assert torch.equal(scene.scene_indices, both.scene_indices) and human.scene_indices.eq(-1).all()
    assert torch.equal(human.masks, both.masks) and not scene.masks.any()
    batch = collate_clips([both, scene, human])
    assert batch.has_mask.any(dim=1).tolist() == [True, False, True]
    assert batch.has_scene.any(dim=1).tolist() == [True, True, False]


def test_a_frame_that_two_label_sets_saw_differently_is_named(boxes) -> None:  # type: ignore[no-untyped-def]
    clip = read(make_dataset(boxes.records, OneTeacher(boxes.labels, "both", conflicts=True)), 0, 0)
    assert not clip.has_label.any() and len(clip.mismatched) == 3


def test_a_video_without_labels_still_serves_the_action(boxes) -> None:  # type: ignore[no-untyped-def]
    stranger = replace(boxes.records[0], video_id="unlabelled")
    clip = read(make_dataset([stranger], boxes.labels), 0, 0)
    assert not clip.has_label.any()
    assert clip.mismatched == ()
    assert clip.frames.float().std() > 10


def test_unreadable_videos_are_dropped_by_typed_reason(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    text, empty = tmp_path / "text.mp4", tmp_path / "empty.mp4"
    text.write_text("no video " * 100)
    empty.touch()
    records = [VideoRecord(path.stem, path, "train", 0, "x") for path in (text, empty, tmp_path / "gone.mp4")]
    dataset = make_dataset([*records, boxes.records[0]], boxes.labels)
    samples = [dataset[ClipKey(0, item)] for item in range(4)]
    batch = collate_clips(samples)
    assert [video.reason for video in batch.dropped] == ["unreadable", "empty_file", "missing"]
    assert batch.action.tolist() == [0]
    assert len(batch.frames) == 1
    assert len(collate_clips(samples[:3]).frames) == 0


def test_a_video_shorter_than_it_was_counted_is_dropped(boxes) -> None:  # type: ignore[no-untyped-def]
    longer = replace(boxes.records[0], video_id="other", num_frames=5000)
    found = make_dataset([longer], None)[ClipKey(0, 0)]
    assert isinstance(found, DroppedVideo)
    assert found.reason == "frame_count"


def test_a_damaged_shard_reaches_the_main_process_as_itself(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "train-00000-of-00001.h5"
    path.write_bytes(boxes.labels.path.read_bytes()[:-2000])
    dataset = make_dataset(boxes.records, type(boxes.labels)(path))
    plan = StepPlan(num_videos=6, batch_size=2, micro_batch=2, epochs=1, seed=0)
    batch = next(read_batches(dataset, plan, start_step=0, loader_workers=1, pin_memory=False))
    assert isinstance(batch.fault, ShardError)


def test_evaluation_frames_are_the_centres(boxes) -> None:  # type: ignore[no-untyped-def]
    dataset = EvaluationDataset(boxes.records, num_segments=4, input_size=64)
    clip = dataset[1]
    assert isinstance(clip, EvaluationClip)
    assert clip.frames.shape == (4, 3, 73, 97)
    assert (clip.label, clip.video_id) == (1, "box1")
    missing = EvaluationDataset([replace(boxes.records[0], path=Path("/none.mp4"))], num_segments=4, input_size=64)
    assert isinstance(missing[0], DroppedVideo)


def test_plan_visits_every_video_once_an_epoch_and_can_start_anywhere() -> None:
    plan = StepPlan(num_videos=12, batch_size=4, micro_batch=3, epochs=3, seed=1)
    steps = [[key for batch in plan.micro_batches(step) for key in batch] for step in range(plan.total_steps)]
    for epoch in range(3):
        keys = [key for step in steps[epoch * 3 : epoch * 3 + 3] for key in step]
        assert sorted(key.item for key in keys) == list(range(12))
        assert {key.epoch for key in keys} == {epoch}
    assert steps[0] != steps[3]
    assert (plan.step_micro_batches, plan.step_videos) == (2, 4)


def test_select_records_names_the_splits_there_are() -> None:
    records = [VideoRecord("a", Path("a"), "train", 0, "x", fold_splits=("test",))]
    assert select_records(records, dataset="d", split="test", fold=2) == records
    with pytest.raises(ManifestError, match=r"'val'; splits there are: train"):
        select_records(records, dataset="d", split="val")
    with pytest.raises(ManifestError, match="fold 3"):
        select_records(records, dataset="d", split="val", fold=3)


def test_sampled_frames_are_read_and_not_their_neighbours(boxes) -> None:  # type: ignore[no-untyped-def]
    reader = ClipReader(boxes.labels)
    found = reader.read(boxes.records[0], np.array([5, 0, 5]))
    assert found.has_label.all()
    assert np.array_equal(found.frames[0], found.frames[2])
    assert not np.array_equal(found.frames[0], found.frames[1])
