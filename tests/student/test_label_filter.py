"""Labels that say little are absent from the losses, frame by frame, and only they."""

import numpy as np
import pytest
import torch

from student.clips import ClipReader
from student.dataset import ClipKey, TrainClip, TrainDataset
from student.label_filter import KEEP_ALL, LabelFilter
from student.recipes import apply_overrides, read_recipe
from student.transforms import MultiScaleCrop


def test_frames_are_kept_by_their_own_labels() -> None:
    masks = np.zeros((3, 4, 5), np.bool_)
    masks[1, 3, 4] = True
    probs = np.array([[0.29, 0.2], [0.30, 0.2], [0.9, 0.05]], np.float32)
    chosen = LabelFilter(min_scene_confidence=0.3, skip_empty_masks=True)
    assert chosen.keep_masks(masks).tolist() == [False, True, False]
    assert chosen.keep_scenes(probs).tolist() == [False, True, True]
    assert KEEP_ALL.keep_masks(masks).all() and KEEP_ALL.keep_scenes(probs).all()


def _read(boxes, label_filter: LabelFilter, labels=None) -> TrainClip:  # type: ignore[no-untyped-def]
    dataset = TrainDataset(
        boxes.records,
        reader=ClipReader(labels or boxes.labels),
        num_segments=3,
        crop=MultiScaleCrop(64),
        seed=0,
        label_filter=label_filter,
    )
    clip = dataset[ClipKey(0, 0)]
    assert isinstance(clip, TrainClip)
    return clip


def test_the_two_labels_are_filtered_apart(boxes) -> None:  # type: ignore[no-untyped-def]
    """The boxes' teacher is sure by .5 of every scene, and has a person in every frame."""
    unsure = _read(boxes, LabelFilter(min_scene_confidence=0.6, skip_empty_masks=True))
    assert unsure.has_mask.all() and unsure.masks.any()
    assert (unsure.scene_indices == -1).all() and (unsure.scene_probs == 0).all()
    sure = _read(boxes, LabelFilter(min_scene_confidence=0.5))
    for found, expected in zip(sure, _read(boxes, KEEP_ALL), strict=True):
        assert torch.equal(found, expected) if isinstance(found, torch.Tensor) else found == expected


class _Emptied:
    """The boxes' labels with nobody in them."""

    def __init__(self, labels) -> None:  # type: ignore[no-untyped-def]
        self._labels = labels

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._labels

    def __getattr__(self, name: str) -> object:
        return getattr(self._labels, name)

    def read(self, video_id: str, frame_indices) -> object:  # type: ignore[no-untyped-def]
        labels = self._labels.read(video_id, frame_indices)
        return labels._replace(masks=np.zeros_like(labels.masks))


def test_an_empty_mask_is_background_or_absent(boxes) -> None:  # type: ignore[no-untyped-def]
    emptied = _Emptied(boxes.labels)
    assert _read(boxes, KEEP_ALL, emptied).has_mask.all()
    skipped = _read(boxes, LabelFilter(skip_empty_masks=True), emptied)
    assert not skipped.has_mask.any()
    assert skipped.has_label.all() and (skipped.scene_indices[:, 0] == 0).all()


def test_wrong_confidences_are_refused() -> None:
    with pytest.raises(ValueError, match=r"min_scene_confidence: expected 0 to 1, found 1\.5"):
        LabelFilter(min_scene_confidence=1.5)
    with pytest.raises(ValueError, match="min_scene_confidence: expected 0 to 1, found -1"):
        apply_overrides(read_recipe("small"), ["min_scene_confidence=-1"])
