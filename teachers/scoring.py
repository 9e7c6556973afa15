"""Score a teacher, ours or a user's own, on the held-out images of data sets."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pipeline.errors import OptionError
from pipeline.label.teacher import HumanTeacherProtocol, SceneTeacherProtocol
from pipeline.label.teacher_loading import make_teacher
from pipeline.training.precision import choose_device
from teachers import human, scene
from teachers.architectures import Kind
from teachers.evaluation import evaluate_human, evaluate_scene
from teachers.scene import SceneTeacher
from teachers.sources import HumanLayout, SceneLayout, find_human_images, find_scene_images
from teachers.storage import Evaluation, TeacherCard, read_card, write_card

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


def score_teacher_file(kind: Kind, weights_path: Path, request: ScoringRequest) -> TeacherCard:
    """Score a teacher file and write the scores, with data and day, into its side file; return the new card.

    Raises:
        KinetError: teacher or data missing or unfit.
    """
    loader = human.load if kind == Kind.HUMAN else scene.load
    teacher = loader(weights_path, device=choose_device(), precision=request.precision)
    evaluation = Evaluation(
        data=tuple(path.resolve().name for path in request.data_dirs),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        crops=request.crops,
        scores=score_teacher(kind, teacher, request),
    )
    card = read_card(weights_path, kind).with_evaluation(evaluation)
    write_card(card, weights_path)
    return card


def score_factory(kind: Kind, factory: str, weights_path: Path, request: ScoringRequest) -> dict[str, float]:
    """Score a user's own teacher, made by ``module:function`` as `label` makes it; nothing is written.

    Raises:
        KinetError: factory, weights or data missing or unfit.
    """
    device = choose_device()
    return score_teacher(kind, make_teacher(factory, weights_path, device, request.precision), request)


def score_teacher(
    kind: Kind, teacher: HumanTeacherProtocol | SceneTeacherProtocol, request: ScoringRequest
) -> dict[str, float]:
    """Score a teacher on held-out images; see `teachers.evaluation` for the scores' names.

    Raises:
        KinetError: data missing or unfit.
        OptionError: ten crops of a teacher that does not say how its input is cut.
    """
    device = choose_device()
    if kind == Kind.HUMAN:
        human_layout = None if request.layout is None else HumanLayout(request.layout)
        masked = _spread(find_human_images(request.data_dirs, human_layout, splits=("val",)).val, request.max_images)
        return evaluate_human(teacher, masked, device=device)  # type: ignore[arg-type]  # the kind says which it is
    if request.crops == 10 and not isinstance(teacher, SceneTeacher):
        raise OptionError("ten crops need a teacher of this project: a teacher of your own cuts its input itself")
    scene_layout = None if request.layout is None else SceneLayout(request.layout)
    labelled = _spread(find_scene_images(request.data_dirs, scene_layout, splits=("val",)).val, request.max_images)
    return evaluate_scene(teacher, labelled, device=device, crops=request.crops)  # type: ignore[arg-type]


def _spread(images: Sequence[Item], limit: int | None) -> Sequence[Item]:
    """Choose at most `limit` of the images, evenly spread."""
    if limit is None or len(images) <= limit:
        return images
    return [images[position * len(images) // limit] for position in range(limit)]
