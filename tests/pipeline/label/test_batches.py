"""A batch is uploaded once, for all teachers."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipeline.label.batches import TeacherBatches
from pipeline.label.teacher import SceneLabels
from pipeline.label.teacher_loading import Teachers
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH
from tests.pipeline.label.toy_teachers import BrightPixels, MeanColour


class SeenPixels(BrightPixels):
    """Remember where the frames of each batch lie."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.places: list[int] = []

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        self.places.append(frames_BHWC.data_ptr())
        return super().predict_masks(frames_BHWC)


class SeenColour(MeanColour):
    """Likewise."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.places: list[int] = []

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        self.places.append(frames_BHWC.data_ptr())
        return super().predict_scenes(frames_BHWC.cpu())


def test_both_teachers_get_the_same_upload(tmp_path: Path) -> None:
    weights_path = tmp_path / "toy"
    weights_path.touch()
    human, scene = SeenPixels(weights_path), SeenColour(weights_path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    batches = TeacherBatches(Teachers(human, scene, device), 2)
    pixels = np.random.default_rng(0).integers(0, 256, (5, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=np.uint8)
    rows = batches.add(pixels) + batches.finish()
    assert sum(row.num_frames for row in rows) == 5
    assert len(human.places) == 3
    assert human.places == scene.places
