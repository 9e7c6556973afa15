"""A batch is uploaded once, for all teachers."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.label.batches import TeacherBatches
from pipeline.label.teacher_loading import Teachers
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH
from tests.pipeline.label.toy_teachers import BrightPixels, MeanColour

Labels = TypeVar("Labels")


def watched(predict: Callable[[Tensor], Labels], places: list[int]) -> Callable[[Tensor], Labels]:
    """Note where the frames of each batch lie."""

    def watch(frames_BHWC: Tensor) -> Labels:
        places.append(frames_BHWC.data_ptr())
        return predict(frames_BHWC)

    return watch


def test_both_teachers_get_the_same_upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights_path = tmp_path / "toy"
    weights_path.touch()
    human, scene = BrightPixels(weights_path), MeanColour(weights_path)
    human_places: list[int] = []
    scene_places: list[int] = []
    monkeypatch.setattr(human, "predict_masks", watched(human.predict_masks, human_places))
    monkeypatch.setattr(scene, "predict_scenes", watched(scene.predict_scenes, scene_places))
    batches = TeacherBatches(Teachers(human, scene, torch.device("cpu")), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (5, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=np.uint8)
    rows = batches.add(pixels) + batches.finish()
    assert sum(row.num_frames for row in rows) == 5
    assert len(human_places) == 3
    assert human_places == scene_places
