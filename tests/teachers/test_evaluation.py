"""Scores equal to values computed by hand."""

import pytest
import torch

from teachers.evaluation import score_confusion


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
