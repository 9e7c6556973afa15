"""A run's scores on a split, from names in a workspace to the score file and its tables."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from manifests.record import VideoRecord
from pipeline.datasets import load_dataset
from pipeline.errors import ManifestError, option_errors
from pipeline.training.precision import choose_device
from pipeline.workspace import Workspace
from student.absent import list_absent
from student.evaluation import Views, Windows, evaluate_model
from student.recipes import read_run_config
from student.runs import CONFIG_FILE, Which, describe_videos, existing_run, load_student, read_class_names
from student.score_tables import write_score_tables
from student.scores import ScoreError, measure_accuracy, save_scores
from student.training_job import open_evaluation, select_usable

SCORES_FOLDER = "scores"
_EVALUATION_SPLITS = ("val", "test")
# Share of a split's videos that may lack a score before its figures are refused: a usual copy of Kinetics-400 lacks
# 2.5 % of its clips, and twice that is no usual copy.
MAX_MISSING = 0.05


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What a user asks of an evaluation; attributes as of `TrainRequest` and `Views`.

    `checkpoint` is the last or the best in validation; a larger share than `max_missing` without a score is a fault.
    `split` None takes the first of val, test that the data set has; `fold` None the run's own on its own data set.
    `folder` of the run takes the files.
    """

    run: str
    dataset: str
    split: str | None = None
    fold: int | None = None
    segments: int = 25
    crops: int = 10
    windows: Windows = "sliding"
    loader_workers: int = 0
    checkpoint: Which = "last"
    max_missing: float = MAX_MISSING
    folder: str = SCORES_FOLDER


def evaluate_run(workspace: Workspace, request: EvaluateRequest) -> dict[str, Any]:
    """Score a run on a split, and write the score file.

    Returns:
        The accuracy's figures, how they were made, and `scores`, the path of the file.

    Raises:
        OptionError: views that cannot be.
        ScoreError: more videos lack a score than is allowed; the scores are written all the same.
        KinetError: run, manifest, classes or videos are at fault, each in its own class.
    """
    run_dir = existing_run(workspace, request.run)
    config = read_run_config(run_dir / CONFIG_FILE)
    with option_errors():
        views = Views(
            num_segments=request.segments,
            num_crops=request.crops,
            window_size=config.recipe.num_segments,
            windows=request.windows,
            input_size=config.recipe.input_size,
            modality=config.recipe.modality,
        )
    manifest = load_dataset(workspace, request.dataset)
    fold = request.fold or (config.fold if request.dataset == config.dataset else 1)
    split = request.split or choose_evaluation_split(manifest, request.dataset, fold)
    records, set_aside = select_usable(workspace, manifest, request.dataset, split, fold)
    check_classes(run_dir, records)
    absent = list_absent(workspace, manifest, request.dataset, split, fold)
    model, step = load_student(run_dir, config, request.checkpoint)
    scores = evaluate_model(
        model,
        open_evaluation(workspace, request.dataset, records, views),
        views,
        device=choose_device(),
        precision=config.recipe.precision,
        loader_workers=request.loader_workers,
        left_out=(*set_aside, *(absent or ())),
    )
    scores = replace(scores, missing_known=absent is not None)
    settings: dict[str, Any] = {
        "run": request.run,
        "checkpoint": request.checkpoint,
        "step": step,
        "dataset": request.dataset,
        "split": split,
        "fold": fold,
        "scored_videos": describe_videos(records),
    }
    summary = {**asdict(measure_accuracy(scores)), **settings, **asdict(views)}
    seen = f"{views.num_segments}x{views.num_crops}-{views.windows}"
    name = f"{request.dataset}-{split}-fold{fold}-{seen}-{request.checkpoint}.npz"
    path = run_dir / request.folder / name
    save_scores(scores, path, summary=summary)
    tables = write_score_tables(scores, read_class_names(run_dir), path)
    check_missing(
        [video.reason for video in scores.missing],
        len(scores.video_ids),
        request.max_missing,
        f"the scores are in {path}",
    )
    return {**summary, "scores": str(path), **tables}


def check_missing(
    reasons: Sequence[str], num_scored: int, max_missing: float, kept: str = "nothing was scored"
) -> None:
    """Raise ScoreError where a larger share of a split's videos than `max_missing` has no score.

    `reasons` are why, one for each; `kept` says what there is all the same.
    """
    num_videos = len(reasons) + num_scored
    if len(reasons) > max_missing * num_videos:
        raise ScoreError(
            f"{len(reasons)} of {num_videos} videos have no score ({dict(Counter(reasons))}), more than the "
            f"{max_missing:.1%} allowed: the result would not be comparable; {kept}. Mend the videos, or allow more by "
            "--max-missing"
        )


def check_classes(run_dir: Path, records: Sequence[VideoRecord]) -> None:
    """Raise ManifestError where a class index means another class than it did when the run was trained."""
    trained = read_class_names(run_dir)
    for record in records:
        known = trained[record.label] if record.label < len(trained) else "no class"
        if known != record.class_name:
            raise ManifestError(
                f"video {record.video_id}: class {record.label} is {record.class_name!r} in the manifest and {known!r} "
                f"in run {run_dir.name}; build the manifest with the classes that the run was trained on"
            )


def choose_evaluation_split(manifest: Sequence[VideoRecord], dataset: str, fold: int) -> str:
    """Choose the split to score on where the user names none."""
    num_folds = min((1 + len(record.fold_splits) for record in manifest), default=0)
    if fold > num_folds:
        there = f"it has folds 1 to {num_folds}" if num_folds > 1 else "it has one fold, --fold 1"
        raise ManifestError(f"data set {dataset}: no fold {fold}; {there if num_folds else 'its manifest is empty'}")
    found = {record.split_in_fold(fold) for record in manifest}
    for split in _EVALUATION_SPLITS:
        if split in found:
            return split
    raise ManifestError(
        f"data set {dataset}, fold {fold}: neither a val nor a test split to score on, only "
        f"{', '.join(sorted(name for name in found if name)) or 'none at all'}; evaluate --split scores another"
    )
