"""Scores equal to values computed by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from manifests.images import LabelledImage, MaskedImage
from pipeline.label.teacher import SceneLabels
from teachers import evaluation
from teachers.evaluation import evaluate_human, evaluate_scene, score_confusion
from teachers.human import HumanTeacher
from teachers.preprocessing import Preprocessing
from teachers.psp import pspnet_squeezenet1_1

CPU = torch.device("cpu")


class LeftHalf:
    """Says that the left half of every picture is a person."""

    name, sha256, preprocessing = "left", "", "none"

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        mask = torch.zeros(frames_BHWC.shape[:3], dtype=torch.bool)
        mask[:, :, : mask.shape[2] // 2] = True
        return mask


class Counting:
    """Gives the classes 10, 11, 12, 13, 14, best first, and keeps the batches' shapes."""

    name, sha256, preprocessing = "counting", "", "none"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        self.shapes.append(tuple(frames_BHWC.shape))
        indices = torch.arange(10, 15).expand(len(frames_BHWC), 5)
        return SceneLabels(indices, torch.full((len(frames_BHWC), 5), 0.2))


def write_people(folder: Path, height: int, width: int, people: tuple[slice, slice], ignored: int = 0) -> MaskedImage:
    mask = np.zeros((height, width), np.uint8)
    mask[people] = 1
    if ignored:
        mask[:, -ignored:] = 255
    image = MaskedImage(folder / f"{height}x{width}.jpg", folder / f"{height}x{width}.png")
    Image.new("RGB", (width, height)).save(image.image_path)
    Image.fromarray(mask).save(image.mask_path)
    return image


def test_mask_iou_by_hand(tmp_path: Path) -> None:
    # 4 x 8: 16 pixels said, the right 6 columns' upper 2 rows true (12), 4 of them shared. Ignored: the last column,
    # which takes 2 from the truth. 2 x 4: 4 said, 8 true, 4 shared.
    images = [
        write_people(tmp_path, 4, 8, (slice(0, 2), slice(2, 8)), ignored=1),
        write_people(tmp_path, 2, 4, (slice(0, 2), slice(0, 4))),
    ]
    scores = evaluate_human(LeftHalf(), images, device=CPU)
    assert scores["mask_iou"] == pytest.approx((4 + 4) / ((16 + 10 - 4) + (4 + 8 - 4)))
    assert (scores["images"], scores["unreadable"]) == (2, 0)


def test_top1_and_top5_by_hand(tmp_path: Path) -> None:
    Image.new("RGB", (20, 30)).save(tmp_path / "a.jpg")
    labels = (10, 10, 12, 14, 15, 0, 9, 11)
    images = [LabelledImage(tmp_path / "a.jpg", label) for label in labels]
    scores = evaluate_scene(Counting(), [*images, LabelledImage(tmp_path / "absent.jpg", 10)], device=CPU)
    assert scores == {"top1": 2 / 8, "top5": 5 / 8, "images": 8, "unreadable": 1}


def test_pixels_bound_a_batch_of_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "MAX_BATCH_PIXELS", 5000)
    Image.new("RGB", (50, 40)).save(tmp_path / "big.jpg")
    Image.new("RGB", (10, 10)).save(tmp_path / "small.jpg")
    names = ("big", "big", "small", "big", "big", "big", *(["small"] * 40))
    teacher = Counting()
    scores = evaluate_scene(teacher, [LabelledImage(tmp_path / f"{name}.jpg", 10) for name in names], device=CPU)
    assert scores["images"] == len(names)
    assert scores["top1"] == 1
    assert max(batch * height * width for batch, height, width, _ in teacher.shapes) <= 5000
    assert teacher.shapes[:2] == [(2, 40, 50, 3), (1, 10, 10, 3)]
    assert max(shape[0] for shape in teacher.shapes) <= evaluation.SCENE_BATCH


def test_a_parser_answers_about_big_pictures_at_a_bounded_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    parser = HumanTeacher(pspnet_squeezenet1_1(20), preprocessing=Preprocessing(32, 32), name="p", parses_lip=True)
    image = write_people(tmp_path, 120, 80, (slice(0, 60), slice(0, 80)))
    sizes = []
    whole = parser.predict_probabilities
    monkeypatch.setattr(
        parser, "predict_probabilities", lambda frames, size=None: sizes.append(size) or whole(frames, size)
    )
    monkeypatch.setattr(evaluation, "MAX_ANSWER_PIXELS", 2400)
    scores = evaluate_human(parser, [image], device=CPU)
    assert sizes == [(60, 40)]
    assert 0 <= scores["miou"] <= 1
    monkeypatch.undo()
    exact = evaluate_human(parser, [image], device=CPU)
    assert scores["mask_iou"] == pytest.approx(exact["mask_iou"], abs=0.05)


def test_scores_by_hand() -> None:
    # Rows are the truth: class 0 has 4 pixels (3 found), class 1 two (1 found), class 2 one (found), class 3 none.
    scores = score_confusion(torch.tensor([[3, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]))
    assert scores["pixel_accuracy"] == pytest.approx(5 / 7)
    assert scores["mean_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert scores["miou"] == pytest.approx((3 / 5 + 1 / 3 + 1) / 3)
    assert scores["frequency_weighted_iou"] == pytest.approx((4 * 3 / 5 + 2 / 3 + 1) / 7)


def test_a_class_that_is_only_predicted_lowers_miou() -> None:
    scores = score_confusion(torch.tensor([[3, 1], [0, 0]]))
    assert scores["miou"] == pytest.approx((3 / 4 + 0) / 2)
    assert scores["mean_accuracy"] == pytest.approx(3 / 4)
