"""The job behind `kinet-pipeline fuse`: from score files to the fused figures, of one split or of several folds."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

from pipeline.errors import OptionError, option_errors
from student.fusion import (
    align_streams,
    check_weights,
    fuse_scores,
    keep_common,
    name_some,
    split_halves,
    sweep_weights,
)
from student.scores import (
    SUFFIX,
    MissingVideo,
    ScoreError,
    Scores,
    load_scores,
    measure_accuracy,
    save_scores,
    side_path,
)

FOLD_MARK = "{fold}"
"""Stands for the fold's number in the paths of a request for several folds."""


@dataclass(frozen=True, kw_only=True)
class FuseRequest:
    """What a user asks for; see the command's help. With a sweep `output` holds the videos that are reported alone."""

    scores: tuple[Path, ...]
    weights: str | None = None
    sweep: str | None = None
    select_on: tuple[Path, ...] = ()
    common: bool = False
    output: Path | None = None


@dataclass(frozen=True, kw_only=True)
class FuseReport:
    """What the fused scores give.

    Attributes:
        weights: one a score file.
        single_top1: of each file alone, on the videos reported.
        top1, top5, mean_class, videos, missing: of the fused scores, as in `Accuracy`.
        missing_videos: those known to have no score, and why.
        selected_on: videos that a sweep chose the weights on, none of which is reported on; 0 without a sweep.
        output: the file written; None without `--output`.
    """

    weights: tuple[float, ...]
    single_top1: tuple[float, ...]
    top1: float
    top5: float
    mean_class: float
    videos: int
    missing: int | None
    missing_videos: tuple[MissingVideo, ...]
    selected_on: int
    output: str | None


@dataclass(frozen=True, kw_only=True)
class FoldsFuseReport:
    """What the fused scores give on several folds, and the means over them.

    Attributes:
        folds: the folds' reports, by number.
        single_top1: of each stream alone. top1, top5, mean_class: of the fused scores.
    """

    folds: dict[int, FuseReport]
    single_top1: tuple[float, ...]
    top1: float
    top5: float
    mean_class: float


def fuse_files(request: FuseRequest) -> FuseReport:
    """Read, fuse and measure.

    Raises:
        OptionError: fewer than two files, weights that do not fit, or an output that would overwrite another file.
        ScoreError: a file that cannot be read, files of different videos, or weights to be chosen on what is reported.
    """
    _check_output(request.output, _inputs(request))
    for path in _inputs(request):
        if not path.is_file():
            raise ScoreError(f"scores {path}: no such file; kinet-pipeline evaluate writes them to runs/RUN/scores")
    if len(request.scores) < 2:
        raise OptionError(f"fuse: expected two score files or more, found {len(request.scores)}")
    if request.weights and request.sweep:
        raise OptionError("fuse: give --weights or --sweep, not both")
    if request.select_on and (not request.sweep or len(request.select_on) != len(request.scores)):
        raise OptionError("--select-on: needs --sweep, and one file for each SCORES, in the same order")
    streams = _load(request.scores, common=request.common)
    selected_on = 0
    if request.sweep:
        if request.select_on:
            seen = _load(request.select_on, common=request.common)
            _check_held_back(seen[0], streams[0])
        else:
            halves = [split_halves(stream) for stream in streams]
            seen, streams = [half[0] for half in halves], [half[1] for half in halves]
        with option_errors():
            found = sweep_weights(seen, _numbers("--sweep", request.sweep, ","))
        weights, selected_on = found.weights, found.videos
    else:
        with option_errors():
            weights = _numbers("--weights", request.weights or ":".join("1" * len(streams)), ":")
            if len(weights) != len(streams):
                raise ValueError(f"--weights: expected {len(streams)} numbers, found {len(weights)}")
            check_weights(weights)
    with option_errors():
        fused = fuse_scores(streams, weights)
    figures = measure_accuracy(fused)
    if request.output is not None:
        made = {"fused": [str(path) for path in request.scores], "weights": list(weights), "selected_on": selected_on}
        save_scores(fused, request.output, summary={**asdict(figures), **made})
    return FuseReport(
        weights=weights,
        single_top1=tuple(measure_accuracy(stream).top1 for stream in streams),
        top1=figures.top1,
        top5=figures.top5,
        mean_class=figures.mean_class,
        videos=figures.videos,
        missing=figures.missing,
        missing_videos=fused.missing,
        selected_on=selected_on,
        output=str(request.output) if request.output else None,
    )


def fuse_folds(request: FuseRequest, folds: Sequence[int]) -> FoldsFuseReport:
    """Fuse each fold's files; `{fold}` in the request's paths stands for its number. A sweep chooses on each fold anew.

    Raises:
        OptionError: no fold, one twice, or a path without `{fold}`; as of `fuse_files`.
        ScoreError: as of `fuse_files`.
    """
    if not folds or len(set(folds)) < len(folds):
        raise OptionError(f"--folds: expected numbers, each once, found {','.join(map(str, folds))}")
    paths = (*request.scores, *request.select_on, *((request.output,) if request.output else ()))
    for path in paths:
        if FOLD_MARK not in str(path):
            raise OptionError(f"--folds: {path} would be taken for every fold; put {FOLD_MARK} where its number stands")
    by_fold = {fold: _of_fold(request, fold) for fold in folds}
    inputs = [path for one in by_fold.values() for path in _inputs(one)]
    for one in by_fold.values():
        _check_output(one.output, inputs)
    reports = {fold: fuse_files(one) for fold, one in by_fold.items()}
    return FoldsFuseReport(
        folds=reports,
        single_top1=tuple(map(fmean, zip(*(report.single_top1 for report in reports.values()), strict=True))),
        top1=fmean(report.top1 for report in reports.values()),
        top5=fmean(report.top5 for report in reports.values()),
        mean_class=fmean(report.mean_class for report in reports.values()),
    )


def _of_fold(request: FuseRequest, fold: int) -> FuseRequest:
    def place(path: Path) -> Path:
        return Path(str(path).replace(FOLD_MARK, str(fold)))

    return replace(
        request,
        scores=tuple(map(place, request.scores)),
        select_on=tuple(map(place, request.select_on)),
        output=place(request.output) if request.output else None,
    )


def _inputs(request: FuseRequest) -> tuple[Path, ...]:
    return *request.scores, *request.select_on


def _check_output(output: Path | None, inputs: Sequence[Path]) -> None:
    """Raise OptionError where writing the fused scores would destroy a file that they are not the former state of."""
    if output is None:
        return
    if output.suffix != SUFFIX:
        raise OptionError(f"--output {output}: expected a name that ends in {SUFFIX}; its .json is written beside it")
    for path in inputs:
        if side_path(path).resolve() == side_path(output).resolve():
            raise OptionError(f"--output {output}: would overwrite {path} or its .json; give another name")
    if side_path(output).exists() and not _tells_of_a_sum(side_path(output)):
        raise OptionError(
            f"--output {output}: would overwrite {side_path(output)}, which fuse did not write; give another name"
        )


def _tells_of_a_sum(path: Path) -> bool:
    """Tell whether a JSON file stands beside scores that were fused."""
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(described, dict) and "fused" in described


def _load(paths: Sequence[Path], *, common: bool) -> list[Scores]:
    streams = [load_scores(path) for path in paths]
    return align_streams(keep_common(streams) if common else streams, [str(path) for path in paths])


def _check_held_back(seen: Scores, reported: Scores) -> None:
    """Raise ScoreError where weights would be chosen on videos that are reported: the result would flatter."""
    both = set(seen.video_ids) & set(reported.video_ids)
    if both:
        raise ScoreError(
            f"--select-on: {len(both)} videos ({name_some(both)}) are also reported on; choose weights on other "
            "videos, or leave --select-on out"
        )


def _numbers(option: str, text: str, separator: str) -> tuple[float, ...]:
    """Parse numbers of 0 or more; ValueError names the option."""
    try:
        numbers = tuple(float(part) for part in text.split(separator))
    except ValueError:
        raise ValueError(f"{option}: expected numbers parted by {separator!r}, found {text!r}") from None
    if not all(0 <= number < float("inf") for number in numbers):
        raise ValueError(f"{option}: expected finite numbers of 0 or more, found {text!r}")
    return numbers
