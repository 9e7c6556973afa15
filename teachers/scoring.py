"""Score a teacher, ours or a user's own, on the held-out images of data sets."""

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from pipeline.errors import OptionError
from pipeline.label.teacher import HumanTeacherProtocol, SceneLabels, SceneTeacherProtocol
from pipeline.label.teacher_loading import (
    ask_for_masks,
    ask_for_scenes,
    choose_precision,
    make_human_teacher,
    make_scene_teacher,
    own_code,
)
from pipeline.training.precision import choose_device
from teachers import human, scene
from teachers.cards import Evaluation, TeacherCard
from teachers.evaluation import evaluate_human, evaluate_scene
from teachers.human import HumanTeacher
from teachers.kinds import Kind
from teachers.scene import SceneTeacher
from teachers.sources import HumanLayout, SceneLayout, find_human_images, find_scene_images
from teachers.storage import read_card, write_card

Item = TypeVar("Item")


@dataclass(frozen=True)
class ScoringRequest:
    """On what to score, and how.

    Attributes:
        data_dirs: folders of images; see `teachers.sources`.
        layout: how the images lie; None to look.
        max_images: score on this many of the held-out images, evenly spread; None for all.
        crops: of a scene image: 1 (the centre) or 10 (corners, centre, and their mirror images).
        precision: "auto", "float32" or "bfloat16".
    """

    data_dirs: tuple[Path, ...]
    layout: str | None = None
    max_images: int | None = None
    crops: int = 1
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.crops not in (1, 10):
            raise ValueError(f"crops: expected 1 or 10, got {self.crops}")
        if self.max_images is not None and self.max_images < 1:
            raise ValueError(f"max_images: expected 1 or more, got {self.max_images}")


def score_teacher_file(kind: Kind, weights_path: Path, request: ScoringRequest) -> TeacherCard:
    """Score a teacher file and write the scores, with data and day, into its side file; return the new card.

    Raises:
        KinetError: teacher or data missing or unfit.
    """
    loader = human.load if kind == Kind.HUMAN else scene.load
    device = choose_device()
    teacher = loader(weights_path, device=device, precision=choose_precision(request.precision, device))
    card = read_card(weights_path, kind).with_evaluation(score_teacher(kind, teacher, request))
    write_card(card, weights_path)
    return card


def score_factory(kind: Kind, factory: str, weights_path: Path, request: ScoringRequest) -> Evaluation:
    """Score a user's own teacher, made by ``module:function`` and tried as `label` does; nothing is written.

    Raises:
        KinetError: factory, weights or data missing or unfit, or an answer in another form than agreed.
    """
    device = choose_device()
    precision = choose_precision(request.precision, device)
    if kind == Kind.HUMAN:
        parser = make_human_teacher(factory, weights_path, device, precision)
        return score_teacher(kind, parser if isinstance(parser, HumanTeacher) else OwnHuman(factory, parser), request)
    classifier = make_scene_teacher(factory, weights_path, device, precision)
    if not isinstance(classifier, SceneTeacher):
        classifier = OwnScene(factory, classifier)
    return score_teacher(kind, classifier, request)


class OwnHuman:
    """A user's own human teacher, whose every answer is checked: pictures come in sizes that it was not tried on."""

    def __init__(self, factory: str, teacher: HumanTeacherProtocol) -> None:
        self.factory, self.teacher = factory, teacher
        self.name, self.sha256, self.preprocessing = teacher.name, teacher.sha256, teacher.preprocessing

    def predict_masks(self, frames_BHWC: Tensor) -> Tensor:
        """As the teacher itself; raises TeacherError where it fails or answers in another form than agreed."""
        with own_code(self.factory, f"failed on frames of {list(frames_BHWC.shape)}"):
            return ask_for_masks(self.factory, self.teacher, frames_BHWC)


class OwnScene:
    """A user's own scene teacher, whose every answer is checked."""

    def __init__(self, factory: str, teacher: SceneTeacherProtocol) -> None:
        self.factory, self.teacher = factory, teacher
        self.name, self.sha256, self.preprocessing = teacher.name, teacher.sha256, teacher.preprocessing

    def predict_scenes(self, frames_BHWC: Tensor) -> SceneLabels:
        """As the teacher itself; raises TeacherError where it fails or answers in another form than agreed."""
        with own_code(self.factory, f"failed on frames of {list(frames_BHWC.shape)}"):
            return ask_for_scenes(self.factory, self.teacher, frames_BHWC)


def score_teacher(
    kind: Kind, teacher: HumanTeacherProtocol | SceneTeacherProtocol, request: ScoringRequest
) -> Evaluation:
    """Score a teacher on held-out images; see `teachers.evaluation` for the scores' names.

    Raises:
        KinetError: data missing or unfit.
        OptionError: ten crops of a teacher that does not say how its input is cut.
    """
    device = choose_device()
    evaluation = Evaluation(
        data=tuple(str(path.resolve()) for path in request.data_dirs),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        scores={},
        crops=request.crops,
        precision=choose_precision(request.precision, device),
        max_images=request.max_images,
    )
    if kind == Kind.HUMAN:
        human_layout = None if request.layout is None else HumanLayout(request.layout)
        people = find_human_images(request.data_dirs, human_layout, splits=("val",))
        masked = _spread(people.val, request.max_images)
        return dataclasses.replace(
            evaluation,
            scores=evaluate_human(teacher, masked, device=device),  # type: ignore[arg-type]  # the kind says which it is
            layouts=tuple(people.layouts),
            without_mask=len(people.without_mask),
        )
    if request.crops == 10 and not isinstance(teacher, SceneTeacher):
        raise OptionError("ten crops need a teacher of this project: a teacher of your own cuts its input itself")
    scene_layout = None if request.layout is None else SceneLayout(request.layout)
    places = find_scene_images(request.data_dirs, scene_layout, splits=("val",))
    labelled = _spread(places.val, request.max_images)
    return dataclasses.replace(
        evaluation,
        scores=evaluate_scene(teacher, labelled, device=device, crops=request.crops),  # type: ignore[arg-type]
        layouts=tuple(places.layouts),
        unknown_images=places.unknown_images,
        unknown_classes=places.unknown_classes,
    )


def _spread(images: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Choose at most `limit` of the images, evenly spread."""
    if limit is None or len(images) <= limit:
        return images
    return [images[position * len(images) // limit] for position in range(limit)]
