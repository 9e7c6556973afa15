"""Views, windows and figures are the protocol's; a video's score is the mean of what crops and windows say alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from student.build import build_student
from student.dataset import EvaluationClip, EvaluationDataset
from student.evaluation import Views, evaluate_model, score_clip, window_indices
from student.normalisation import normalise
from student.scores import MissingVideo, ScoreError, Scores, load_scores, measure_accuracy, save_scores
from student.transforms import cut_crop, evaluation_boxes


def test_windows_of_the_protocol() -> None:
    sliding = window_indices(Views())
    assert sliding.shape == (23, 3)
    assert sliding[0].tolist() == [0, 1, 2]
    assert sliding[-1].tolist() == [22, 23, 24]
    strided = window_indices(Views(windows="strided"))
    assert strided.tolist() == [[i, i + 8, i + 16] for i in range(9)]
    assert window_indices(Views(num_segments=3)).tolist() == [[0, 1, 2]]
    with pytest.raises(ValueError, match="segments"):
        Views(num_segments=2)


def test_a_score_is_the_mean_over_windows_and_crops_of_the_whole_students_logits(boxes) -> None:  # type: ignore[no-untyped-def]
    """The backbone's single pass and the gathered windows equal running the student on every window of every crop."""
    views = Views(num_segments=5, num_crops=10, input_size=64)
    clip = EvaluationDataset(boxes.records, num_segments=5, input_size=64)[0]
    assert isinstance(clip, EvaluationClip)
    model = build_student(model="kinet", backbone="squeezenet1_1", num_classes=4).eval()
    slow = []
    with torch.inference_mode():
        for box in evaluation_boxes(*clip.frames.shape[-2:], 64, 10):
            frames = normalise(cut_crop(clip.frames, box))
            slow += [model(frames[start : start + 3][None]).action_logits[0] for start in range(3)]
    torch.testing.assert_close(score_clip(model, clip.frames, views), torch.stack(slow).mean(dim=0))


def test_every_video_is_scored_or_listed(boxes, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    gone = replace(boxes.records[2], path=tmp_path / "gone.mp4")
    records = [*boxes.records[:2], gone, *boxes.records[3:]]
    views = Views(num_segments=3, num_crops=1, input_size=64)
    model = build_student(model="tsn", backbone="squeezenet1_1", num_classes=2)
    dataset = EvaluationDataset(records, num_segments=3, input_size=64)
    runs = [evaluate_model(model, dataset, views, device=torch.device("cpu"), loader_workers=n) for n in (0, 2)]
    assert runs[0].video_ids == ("box0", "box1", "box3", "box4", "box5")
    assert [(video.video_id, video.reason) for video in runs[0].missing] == [("box2", "missing")]
    assert np.array_equal(runs[0].logits, runs[1].logits)
    assert runs[0].video_ids == runs[1].video_ids


def make_scores() -> Scores:
    logits = np.eye(7, dtype=np.float32)[[0, 1, 1, 2, 6]]  # ties are broken by the lower class
    return Scores(("a", "b", "c", "d", "e"), logits, np.array([0, 0, 1, 2, 5]), (MissingVideo("f", "missing", "gone"),))


def test_figures_by_hand() -> None:
    found = measure_accuracy(make_scores())
    assert found.top1 == pytest.approx(3 / 5)
    assert found.top5 == pytest.approx(4 / 5)  # class 5 of "e" comes sixth: after 6 and 0 to 4
    assert found.mean_class == pytest.approx((0.5 + 1 + 1 + 0) / 4)
    assert (found.videos, found.missing, found.missing_reasons) == (5, 1, {"missing": 1})
    assert (found.top1_lower, found.top1_upper) == (pytest.approx(3 / 6), pytest.approx(4 / 6))


def test_top5_of_two_classes_is_one() -> None:
    scores = Scores(("a",), np.zeros((1, 2), np.float32), np.array([1]))
    assert measure_accuracy(scores).top5 == 1.0


def test_no_scores_at_all_is_an_error() -> None:
    with pytest.raises(ScoreError, match="1 are missing"):
        measure_accuracy(Scores((), np.empty((0, 0), np.float32), np.empty(0, np.int64), make_scores().missing))


def test_score_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "scores" / "d-test.npz"
    save_scores(make_scores(), path, summary={"top1": 0.6})
    found = load_scores(path)
    assert found.video_ids == make_scores().video_ids
    assert np.array_equal(found.logits, make_scores().logits)
    assert np.array_equal(found.labels, make_scores().labels)
    assert found.missing == make_scores().missing
    assert json.loads(path.with_suffix(".json").read_text())["top1"] == 0.6
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScoreError, match="evaluate again"):
        load_scores(path)
