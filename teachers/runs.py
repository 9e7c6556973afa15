"""A teacher's training run: what was asked, its folder, and the training itself, in this process or one of several."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.errors import CheckpointError, TeacherError, WorkspaceError
from pipeline.files import write_atomically
from pipeline.training.checkpoint import list_checkpoints
from pipeline.training.rundir import TEACHER_CONFIG, make_run_dir
from pipeline.training.state import CHECKPOINT_DIR
from pipeline.training.world import ALONE, World
from teachers.architectures import ARCHITECTURES, build_network, default_preprocessing
from teachers.augmentation import HumanAugmentation, SceneAugmentation
from teachers.datasets import HumanImages, SceneImages
from teachers.imagenet import load_imagenet_weights
from teachers.kinds import Kind
from teachers.losses import human_loss, scene_loss
from teachers.progress import TrainingSummary
from teachers.settings import TrainingSettings
from teachers.sources import HumanLayout, SceneLayout, find_human_images, find_scene_images
from teachers.storage import MAX_LISTED
from teachers.training import TrainingPlace, train_network

log = logging.getLogger(__name__)

CONFIG_FILE = TEACHER_CONFIG
WRITTEN_FILE = "written.sha256"


@dataclass(frozen=True)
class TrainingRequest:
    """What to train; a run is taken up again only with the same.

    Attributes:
        kind: human or scene.
        data_dirs: folders of images; see `teachers.sources`.
        architecture: one of `teachers.architectures.ARCHITECTURES`.
        classes: width of the head.
        input_size: height and width of the network's input; None for the usual one.
        init_path: ImageNet weights of the backbone, or None for a random start.
        layout: how the images lie; None to look.
        settings: how long and how fast.
    """

    kind: Kind
    data_dirs: tuple[Path, ...]
    architecture: str
    classes: int
    input_size: tuple[int, int] | None
    init_path: Path | None
    layout: str | None
    settings: TrainingSettings

    def __post_init__(self) -> None:
        known = ARCHITECTURES[self.kind]
        if self.architecture not in known:
            raise ValueError(
                f"architecture {self.architecture!r}: a {self.kind} teacher is trained as {', '.join(known)}; "
                "others can only be imported"
            )
        default_preprocessing(self.kind, self.input_size)

    def to_fields(self) -> dict[str, Any]:
        """Return what the run's folder keeps, in JSON's own types."""
        fields = {
            "kind": self.kind.value,
            "data": [str(path.resolve()) for path in self.data_dirs],
            "architecture": self.architecture,
            "classes": self.classes,
            "input_size": self.input_size and list(self.input_size),
            "init": self.init_path and str(self.init_path.resolve()),
            "layout": self.layout,
        }
        settings = {name: value for name, value in vars(self.settings).items() if name != "log_every"}
        return fields | settings


@dataclass(frozen=True)
class TrainingImages:
    """The images of a run.

    Attributes:
        dataset: to train on.
        num_val: held out.
        without_val: data sets that hold none out.
        left_out: what is not used, in words.
        digest: number and names of the images to train on, in order.
    """

    dataset: HumanImages | SceneImages
    num_val: int
    without_val: tuple[Path, ...]
    left_out: str
    digest: str


def find_training_images(request: TrainingRequest) -> TrainingImages:
    """List the images of a run.

    Raises:
        TeacherError: data missing or unfit, or nothing to train on.
    """
    height, width = default_preprocessing(request.kind, request.input_size).input_size
    seed = request.settings.seed
    dataset: HumanImages | SceneImages
    if request.kind == Kind.HUMAN:
        human = find_human_images(request.data_dirs, None if request.layout is None else HumanLayout(request.layout))
        augmentation = HumanAugmentation(height=height, width=width, swap_left_right=request.classes > 2)
        dataset = HumanImages(human.train, classes=request.classes, augmentation=augmentation, seed=seed)
        names = [str(image.image_path) for image in human.train]
        num_val, without_val = len(human.val), human.without_val
        left_out = _name_some(f"{len(human.without_mask)} without a map", [path.name for path in human.without_mask])
    else:
        scene = find_scene_images(request.data_dirs, None if request.layout is None else SceneLayout(request.layout))
        dataset = SceneImages(scene.train, augmentation=SceneAugmentation(height=height, width=width), seed=seed)
        names = [f"{image.path} {image.label}" for image in scene.train]
        num_val, without_val = len(scene.val), scene.without_val
        left_out = _name_some(
            f"{scene.unknown_images} of {len(scene.unknown_classes)} classes that Places365 lacks",
            scene.unknown_classes,
        )
    if not names:
        raise TeacherError(f"{', '.join(map(str, request.data_dirs))}: no training image")
    digest = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    return TrainingImages(dataset, num_val, tuple(without_val), left_out, f"{len(names)} sha256:{digest[:16]}")


def open_run(run_dir: Path, request: TrainingRequest, images: TrainingImages, *, resume: bool) -> None:
    """Make a new run's folder with what was asked for, or check that a resumed run is asked for the same.

    Raises:
        WorkspaceError: a run of a new one's name exists already, a teacher's or a student's; a resumed one does not;
            or the folder cannot be made.
        CheckpointError: a resumed run with another configuration, naming every difference.
    """
    path = run_dir / CONFIG_FILE
    asked = request.to_fields() | {"images": images.digest}
    if not resume:
        make_run_dir(run_dir, CONFIG_FILE)
        write_atomically(path, json.dumps(asked, indent=2) + "\n")
        return
    if not path.is_file():
        raise WorkspaceError(f"run {run_dir.name}: no teacher's run in {run_dir}; leave --resume out to start it")
    try:
        saved = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); start a new --run") from error
    differences = [
        f"{name} is {asked.get(name)!r}, was {saved.get(name)!r}"
        for name in asked | saved
        if asked.get(name) != saved.get(name)
    ]
    if differences:
        raise CheckpointError(
            f"run {run_dir.name} cannot go on with another configuration: {'; '.join(differences)}; leave the changes "
            "out, or start a new --run"
        )


def note_written(run_dir: Path, sha256: str) -> None:
    """Keep the digest of the teacher's file that a run has written; raises as `pipeline.files.write_atomically`."""
    write_atomically(run_dir / WRITTEN_FILE, f"{sha256}\n")


def read_written(run_dir: Path) -> str:
    """Read the digest of the teacher's file that a run has written; "" where it has written none."""
    path = run_dir / WRITTEN_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


@dataclass(frozen=True)
class TrainingJob:
    """What a process needs to train a run; small enough to be sent to another machine.

    Attributes:
        request: what to train.
        run_dir: reachable under the same path on every machine, as the images are.
        loader_workers, checkpoint_every: see `teachers.training.TrainingPlace`.
    """

    request: TrainingRequest
    run_dir: Path
    loader_workers: int = 0
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if self.checkpoint_every < 1:
            raise ValueError(f"checkpoint_every: expected 1 or more, got {self.checkpoint_every}")


def run_training(
    job: TrainingJob, images: TrainingImages, *, device: torch.device, resume: bool, world: World = ALONE
) -> tuple[nn.Module, TrainingSummary]:
    """Train a run in this process, as one of `world`; the network comes in evaluation mode.

    Raises:
        KinetError: start weights, images or checkpoints are at fault, each in its own class.
    """
    request = job.request
    network = start_network(request, from_checkpoint=resume and bool(list_checkpoints(job.run_dir / CHECKPOINT_DIR)))
    summary = train_network(
        network,
        images.dataset,
        human_loss if request.kind == Kind.HUMAN else scene_loss,
        request.settings,
        TrainingPlace(
            job.run_dir,
            device,
            world,
            resume=resume,
            loader_workers=job.loader_workers,
            checkpoint_every=job.checkpoint_every,
        ),
        preprocessing=default_preprocessing(request.kind, request.input_size),
    )
    return network, summary


def check_start(request: TrainingRequest) -> None:
    """Read the ImageNet weights that a run is to start from, and forget them.

    Raises:
        KinetError: they cannot be read, or are of another backbone.
    """
    if request.init_path is None:
        return
    # Without memory nothing is initialised: no time is lost and no random number is drawn.
    with torch.device("meta"):
        network = build_network(request.kind, request.architecture, request.classes)
    load_imagenet_weights(network, request.init_path)


def start_network(request: TrainingRequest, *, from_checkpoint: bool = False) -> nn.Module:
    """Build a run's network with the weights that it starts from, drawn from its seed.

    Args:
        from_checkpoint: its weights come from a checkpoint; those of ImageNet are not read.
    """
    # Layers draw from torch's global generator, the CPU's, the only one they know; it comes back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.settings.seed)
        network = build_network(request.kind, request.architecture, request.classes)
    if request.init_path is not None and not from_checkpoint:
        num_tensors = load_imagenet_weights(network, request.init_path)
        log.info("%d tensors of the backbone from %s", num_tensors, request.init_path)
    return network


def _name_some(count: str, names: Sequence[str]) -> str:
    """Put the first few names behind a count."""
    more = ", ..." if len(names) > MAX_LISTED else ""
    return f"{count} ({', '.join(names[:MAX_LISTED])}{more})" if names else count
