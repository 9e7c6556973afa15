"""A run's folder: starting one, taking one up again, and loading what it learned."""

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from manifests.record import VideoRecord
from pipeline.errors import CheckpointError, Reason, WorkspaceError
from pipeline.files import write_atomically
from pipeline.shards import JoinedLabels, label_dirs
from pipeline.shards import open_labels as open_joined
from pipeline.shards.quarantine import read_quarantine
from pipeline.shards.schema import BOTH_TEACHERS
from pipeline.training.checkpoint import BEST_NAME, list_checkpoints, load_checkpoint, load_latest_checkpoint
from pipeline.training.rundir import STUDENT_CONFIG, make_run_dir
from pipeline.training.state import CHECKPOINT_DIR
from pipeline.video import FRAME_RESIZE
from pipeline.workspace import Workspace
from student.build import Student, build_student
from student.dataset import DroppedVideo
from student.modality import NUM_CHANNELS
from student.recipes import RunConfig, list_differences, write_run_config

logger = logging.getLogger(__name__)

CONFIG_FILE = STUDENT_CONFIG
CLASSES_FILE = "classes.json"
CLASSIFIER_PREFIX = "action_classifier."

Which = Literal["last", "best"]


def open_labels(workspace: Workspace, dataset: str, records: list[VideoRecord]) -> JoinedLabels:
    """Open a data set's committed shards, those of one teacher alone too, and say how many videos lack what.

    Raises:
        WorkspaceError: there are none, or none of these videos is in them.
    """
    shards_dir = workspace.shards_dir(dataset)
    labels = open_joined(shards_dir)
    num_labelled = sum(record.video_id in labels for record in records)
    if num_labelled == 0:
        raise WorkspaceError(
            f"data set {dataset}: none of {len(records)} videos has labels in {shards_dir}; run kinet-pipeline label "
            f"--dataset {dataset} first, or train without labels: by --model tsn, or from another run by --init RUN_DIR"
        )
    if num_labelled < len(records):
        logger.warning(
            "%d of %d videos have no labels; only the action loss sees them", len(records) - num_labelled, len(records)
        )
    for index in labels.sets:
        if index.frame_resize not in (None, FRAME_RESIZE):
            logger.warning(
                "labels in %s are of frames resized otherwise (%s) than frames are here (%s); those whose hashes "
                "differ for it go without labels: label the videos anew, in another workspace",
                index.shards_dir, index.frame_resize, FRAME_RESIZE
            )  # fmt: skip
    for kind in BOTH_TEACHERS:
        lacking = sum(bool(found) and kind not in found for found in (labels.teachers_of(r.video_id) for r in records))
        if lacking:
            logger.warning(
                "%d of %d videos have no labels of the %s teacher; its loss leaves them out (kinet-pipeline label "
                "--dataset %s --teachers %s)", lacking, len(records), kind, dataset, kind
            )  # fmt: skip
    return labels


def has_labels(workspace: Workspace, dataset: str, records: list[VideoRecord]) -> bool:
    """Tell whether a data set's committed shards hold labels of any of these videos."""
    labels = open_joined(workspace.shards_dir(dataset))
    return any(record.video_id in labels for record in records)


def leave_out_dangerous(
    records: list[VideoRecord], shards_dir: Path
) -> tuple[list[VideoRecord], tuple[DroppedVideo, ...]]:
    """Part the videos that crashed or hung the decoder in stage one from the others.

    Videos that it set aside for other reasons stay: reading them again is harmless, and they may have been mended.
    """
    dangerous = {
        name: DroppedVideo(name, video.reason, f"left out, as in stage one: {video.message}")
        for folder in label_dirs(shards_dir)
        for name, video in read_quarantine(folder).items()
        if video.reason in (Reason.CRASHED, Reason.TIMEOUT)
    }
    set_aside = tuple(dangerous[record.video_id] for record in records if record.video_id in dangerous)
    if set_aside:
        counted = Counter(video.reason for video in set_aside)
        reasons = ", ".join(f"{count} {reason}" for reason, count in counted.items())
        logger.warning("%d of %d videos are left out: quarantined (%s)", len(set_aside), len(records), reasons)
    return [record for record in records if record.video_id not in dangerous], set_aside


def start_run(run_dir: Path, config: RunConfig, class_names: list[str]) -> None:
    """Make a new run's folder with its resolved configuration.

    Raises:
        WorkspaceError: a run of this name exists already, a student's or a teacher's, or its folder cannot be made.
    """
    make_run_dir(run_dir, CONFIG_FILE)
    write_atomically(run_dir / CLASSES_FILE, json.dumps(class_names, ensure_ascii=False, indent=1) + "\n")
    write_run_config(config, run_dir / CONFIG_FILE)


def check_resumed(run_dir: Path, saved: RunConfig, asked: RunConfig) -> None:
    """Raise CheckpointError, naming every difference, where a run is resumed with another configuration."""
    differences = list_differences(saved, asked)
    if differences:
        raise CheckpointError(
            f"run {run_dir.name} cannot go on with another configuration: {'; '.join(differences)}; leave the changes "
            "out, or start a new --run"
        )


def describe_videos(records: list[VideoRecord]) -> str:
    """Say which videos a run sees: their number, and a digest of names and classes in order."""
    text = "".join(f"{record.video_id}\t{record.label}\n" for record in records)
    return f"{len(records)} sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def list_class_names(records: list[VideoRecord]) -> list[str]:
    """List the classes' names by index; "" for an index that no video has."""
    names = {record.label: record.class_name for record in records}
    return [names.get(label, "") for label in range(max(names, default=-1) + 1)]


def existing_run(workspace: Workspace, run: str) -> Path:
    """Return a run's folder; WorkspaceError names the runs there are where it is not one of them."""
    run_dir = workspace.run_dir(run)
    if not (run_dir / CONFIG_FILE).is_file():
        known = sorted(path.parent.name for path in run_dir.parent.glob(f"*/{CONFIG_FILE}"))
        there = (
            f"runs there are: {', '.join(known)}" if known else "there are none yet; see kinet-pipeline train-student"
        )
        raise WorkspaceError(f"run {run}: not in {run_dir.parent} ({there})")
    return run_dir


def build_run_student(config: RunConfig) -> Student:
    """Build a run's student with a random start.

    Raises:
        ValueError: a model or backbone that does not exist, or readings that contradict each other.
        TeacherError: a fixed teacher's file is missing or not what it should be.
    """
    recipe = config.recipe
    teachers = None
    if recipe.model == "kinet-fixed":
        from student.fixed import load_fixed_teachers  # brings the teachers' libraries along, which take seconds

        teachers = load_fixed_teachers(recipe.human_teacher, recipe.scene_teacher)
    return build_student(
        model=recipe.model,
        backbone=recipe.backbone,
        num_classes=config.num_classes,
        num_segments=recipe.num_segments,
        dropout=recipe.dropout,
        options=recipe.kinet,
        in_channels=NUM_CHANNELS[recipe.modality],
        teachers=teachers,
        seed=recipe.seed,
    )


def has_checkpoint(run_dir: Path) -> bool:
    """Tell whether a run can be resumed from a checkpoint; its initial weights are not needed then."""
    return bool(list_checkpoints(run_dir / CHECKPOINT_DIR))


def read_class_names(run_dir: Path) -> list[str]:
    """Read the names of the classes that a run was trained on, by index; CheckpointError where they are lost."""
    try:
        names: list[str] = json.loads((run_dir / CLASSES_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"run {run_dir.name}: its {CLASSES_FILE} cannot be read ({error})") from error
    return names


def load_student(run_dir: Path, config: RunConfig, which: Which = "last") -> tuple[Student, int]:
    """Build a run's student with the weights of a checkpoint; return it and the optimiser steps behind it.

    Args:
        run_dir, config: of the run.
        which: the last checkpoint, or the best in validation.

    Raises:
        CheckpointError: no such checkpoint, or one that is damaged or of another student.
    """
    state = last_checkpoint(run_dir) if which == "last" else _best_checkpoint(run_dir)
    model = build_run_student(config)
    _load_weights(model, state["model"], run_dir)
    return model, state["step"]


def last_checkpoint(run_dir: Path) -> dict[str, Any]:
    """Read a run's last checkpoint; CheckpointError where there is none."""
    state = load_latest_checkpoint(run_dir / CHECKPOINT_DIR)
    if state is None:
        raise CheckpointError(f"run {run_dir}: no checkpoint yet; train it with train-student --resume first")
    return state


def _best_checkpoint(run_dir: Path) -> dict[str, Any]:
    path = run_dir / CHECKPOINT_DIR / BEST_NAME
    if not path.exists():
        raise CheckpointError(
            f"run {run_dir.name}: no best checkpoint; only a run that validates keeps one (--set "
            "validation_split=NAME when it is trained)"
        )
    return load_checkpoint(path)


def _load_weights(model: Student, weights: dict[str, Any], run_dir: Path) -> None:
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        details = " ".join(str(error).split())[:200]
        raise CheckpointError(f"run {run_dir}: its checkpoint is of another student: {details}") from error
