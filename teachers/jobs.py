"""The jobs behind `kinet-pipeline teacher`: from folders of images to a scored teacher file."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from pipeline.errors import TeacherError
from pipeline.training.precision import choose_device
from pipeline.training.stop import StopRequest
from teachers.architectures import ARCHITECTURES, Kind, build_network, default_preprocessing
from teachers.augmentation import HumanAugmentation, SceneAugmentation
from teachers.datasets import HumanImages, SceneImages
from teachers.imagenet import load_imagenet_weights
from teachers.scoring import ScoringRequest, score_teacher_file
from teachers.sources import HumanLayout, SceneLayout, find_human_images, find_scene_images
from teachers.storage import MAX_LISTED, TeacherCard, save_teacher
from teachers.training import TrainingSettings, TrainingSummary, human_loss, scene_loss, train_network

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TeacherRequest:
    """What to train.

    Attributes:
        kind: human or scene.
        data_dirs: folders of images; see `teachers.sources`.
        architecture: one of `teachers.architectures.ARCHITECTURES`.
        classes: width of the head.
        input_size: height and width of the network's input; None for the usual one.
        init_path: ImageNet weights of the backbone, or None for a random start.
        layout: how the images lie; None to look.
        max_val_images: score on this many of the held-out images, evenly spread; None for all.
        settings: how long and how fast.
    """

    kind: Kind
    data_dirs: tuple[Path, ...]
    architecture: str
    classes: int
    input_size: tuple[int, int] | None
    init_path: Path | None
    layout: str | None
    max_val_images: int | None
    settings: TrainingSettings

    def __post_init__(self) -> None:
        known = ARCHITECTURES[self.kind]
        if self.architecture not in known:
            raise ValueError(
                f"architecture {self.architecture!r}: a {self.kind} teacher is trained as {', '.join(known)}; "
                "others can only be imported"
            )
        default_preprocessing(self.kind, self.input_size)
        if self.max_val_images is not None and self.max_val_images < 1:
            raise ValueError(f"max_val_images: expected 1 or more, got {self.max_val_images}")


class TeacherResult(NamedTuple):
    """A trained teacher, as written."""

    card: TeacherCard
    summary: TrainingSummary


def train_teacher(request: TeacherRequest, weights_path: Path) -> TeacherResult:
    """Train, write, score on held-out images, and write the scores into the side file.

    SIGINT or SIGTERM end the training after the running step; what was learned until then is written, not scored.

    Raises:
        TeacherError: data, start weights or architecture that do not fit.
        InterruptedRun: after a signal, once the teacher is written.
    """
    kind, settings = request.kind, request.settings
    device = choose_device()
    preprocessing = default_preprocessing(kind, request.input_size)
    height, width = preprocessing.input_size
    dataset: HumanImages | SceneImages
    if kind == Kind.HUMAN:
        human = find_human_images(request.data_dirs, None if request.layout is None else HumanLayout(request.layout))
        num_train, num_val, without_val = len(human.train), len(human.val), human.without_val
        left_out = _name_some(f"{len(human.without_mask)} without a map", [path.name for path in human.without_mask])
        augmentation = HumanAugmentation(height=height, width=width, swap_left_right=request.classes > 2)
        dataset = HumanImages(human.train, classes=request.classes, augmentation=augmentation, seed=settings.seed)
    else:
        scene = find_scene_images(request.data_dirs, None if request.layout is None else SceneLayout(request.layout))
        num_train, num_val, without_val = len(scene.train), len(scene.val), scene.without_val
        left_out = _name_some(
            f"{scene.unknown_images} of {len(scene.unknown_classes)} classes that Places365 lacks",
            scene.unknown_classes,
        )
        dataset = SceneImages(
            scene.train, augmentation=SceneAugmentation(height=height, width=width), seed=settings.seed
        )
    if not num_train:
        raise TeacherError(f"{', '.join(map(str, request.data_dirs))}: no training image")
    log.info("%d images to train on, %d held out; left out: %s", num_train, num_val, left_out)

    # Layers and dropout draw from torch's global generator, the only one they know; it comes back as it was.
    with torch.random.fork_rng(), StopRequest() as stop:
        torch.manual_seed(settings.seed)
        network = build_network(kind, request.architecture, request.classes)
        if request.init_path is not None:
            num_tensors = load_imagenet_weights(network, request.init_path)
            log.info("%d tensors of the backbone from %s", num_tensors, request.init_path)
        summary = train_network(
            network,
            dataset,
            human_loss if kind == Kind.HUMAN else scene_loss,
            settings,
            preprocessing=preprocessing,
            device=device,
            stop=stop,
        )
        card = TeacherCard(
            kind=kind,
            architecture=request.architecture,
            classes=request.classes,
            preprocessing=preprocessing,
            source=_describe_source(request, summary),
        )
        card = save_teacher(network, card, weights_path)
        stop.raise_if_asked(f"the weights of {summary.steps} steps are in {weights_path}, without scores")
    if without_val:
        log.warning("not scored on, for want of held-out images: %s", ", ".join(map(str, without_val)))
    if num_val:
        scored_dirs = tuple(path for path in request.data_dirs if path not in without_val)
        card = score_teacher_file(
            kind,
            weights_path,
            ScoringRequest(scored_dirs, layout=request.layout, max_images=request.max_val_images),
        )
    return TeacherResult(card, summary)


def _name_some(count: str, names: Sequence[str]) -> str:
    """Put the first few names behind a count."""
    more = ", ..." if len(names) > MAX_LISTED else ""
    return f"{count} ({', '.join(names[:MAX_LISTED])}{more})" if names else count


def _describe_source(request: TeacherRequest, summary: TrainingSummary) -> str:
    start = "a random start" if request.init_path is None else request.init_path.name
    names = " + ".join(path.resolve().name for path in request.data_dirs)
    return f"trained on {names} from {start}: {summary.steps} steps, {summary.images} images, {summary.seconds:.0f} s"
