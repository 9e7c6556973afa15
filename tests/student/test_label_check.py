"""The self-test of labels tells labels that lie on their crops from such that do not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.cli import main
from pipeline.errors import KinetError
from pipeline.label.teacher_loading import Teachers
from pipeline.video import read_frames
from student.clips import ClipReader
from student.dataset import ClipKey, DroppedVideo, TrainClip, TrainDataset
from student.label_check import LabelCheckError, check_crops
from student.transforms import MultiScaleCrop
from tests.student.colour_teachers import ColourTeacher
from tests.student.conftest import LabelledVideos, ShardLabels


def make_dataset(boxes: LabelledVideos, labels: ShardLabels | None) -> TrainDataset:
    return TrainDataset(boxes.records, reader=ClipReader(labels), num_segments=3, crop=MultiScaleCrop(96), seed=0)


def test_labels_in_their_place_agree_and_wrong_places_do_not(boxes: LabelledVideos) -> None:
    blues = [float(np.median(read_frames(record.path, [0])[..., 2])) for record in boxes.records]
    teachers = Teachers(ColourTeacher("green", []), ColourTeacher("blue", blues), torch.device("cpu"))
    report = check_crops(make_dataset(boxes, boxes.labels), teachers, range(len(boxes.records)))
    assert (report.clips, report.unreadable, report.mask_frames, report.scene_frames) == (6, 0, 18, 18)
    assert report.mask_iou["in place"] > 0.9
    assert max(iou for place, iou in report.mask_iou.items() if place != "in place") < 0.8
    assert report.scene_top1 == 1.0
    assert report.scene_top1_other == 0.0
    assert report.find_faults() == []
    assert "labels lie on their frames" in report.as_text()


class MisplacingDataset(TrainDataset):
    """A data set with a fault in how it cuts masks."""

    def __init__(self, boxes: LabelledVideos, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__(
            boxes.records, reader=ClipReader(boxes.labels), num_segments=3, crop=MultiScaleCrop(96), seed=0
        )
        self._move = move

    def __getitem__(self, key: ClipKey) -> TrainClip | DroppedVideo | KinetError:
        clip = super().__getitem__(key)
        assert isinstance(clip, TrainClip)
        return clip._replace(masks=self._move(clip.masks))


@pytest.mark.parametrize(
    ("move", "place"),
    [(lambda masks: masks.flip(-1), "mirrored"), (lambda masks: masks.roll(12, dims=-1), "shifted left")],
)
def test_misplaced_masks_are_found(boxes: LabelledVideos, move: Callable[[Tensor], Tensor], place: str) -> None:
    teachers = Teachers(ColourTeacher("green", []), None, torch.device("cpu"))
    report = check_crops(MisplacingDataset(boxes, move), teachers, range(len(boxes.records)))
    (fault,) = report.find_faults()
    assert f"cropped masks fit better {place} (IoU 0.9" in fault
    assert "labels lie on their frames" not in report.as_text()


class OneSceneDataset(TrainDataset):
    """A data set whose every frame is labelled as scene 0."""

    def __getitem__(self, key: ClipKey) -> TrainClip | DroppedVideo | KinetError:
        clip = super().__getitem__(key)
        assert isinstance(clip, TrainClip)
        return clip._replace(scene_indices=torch.zeros_like(clip.scene_indices))


def test_videos_of_one_scene_contradict_nothing(boxes: LabelledVideos) -> None:
    dataset = OneSceneDataset(
        boxes.records, reader=ClipReader(boxes.labels), num_segments=3, crop=MultiScaleCrop(96), seed=0
    )
    teachers = Teachers(None, ColourTeacher("blue", [0.0]), torch.device("cpu"))
    report = check_crops(dataset, teachers, range(len(boxes.records)))
    assert (report.scene_top1, report.scene_top1_other) == (1.0, None)
    assert report.find_faults() == []


def test_without_labels_there_is_nothing_to_compare(boxes: LabelledVideos) -> None:
    teachers = Teachers(ColourTeacher("green", []), None, torch.device("cpu"))
    with pytest.raises(LabelCheckError, match="no frame of 6 clips has a label to compare"):
        check_crops(make_dataset(boxes, None), teachers, range(6))


def test_the_command_says_what_agrees_and_what_does_not(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The scene teacher sees one scene everywhere, so it agrees with no label more than with another."""
    arguments = ["check-labels", "--dataset", "boxes", "--workspace", str(workspace), "--recipe", "small"]
    arguments += ["--human-teacher", "tests.student.colour_teachers:load_human"]
    arguments += ["--scene-teacher", "tests.student.colour_teachers:load_scene"]
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--json"])
    assert end.value.code == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["clips"] == 4 and report["mask_iou"]["in place"] > 0.9
    assert len(report["faults"]) == 1 and "scenes agree no more with their own frames' labels (25.0%)" in err
    with pytest.raises(SystemExit):
        main([*arguments, "--human-teacher", "tests.student.colour_teachers:load_scene"])
    assert "labelled by green sha256:0, the teacher given is blue sha256:0" in capsys.readouterr().err
