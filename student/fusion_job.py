"""The job behind `kinet-pipeline fuse`: from score files to the fused figures."""

from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import OptionError, option_errors
from student.fusion import align_streams, fuse_scores, keep_common, split_halves, sweep_weights
from student.scores import load_scores, measure_accuracy, save_scores


@dataclass(frozen=True, kw_only=True)
class FuseRequest:
    """What a user asks for; see the command's help."""

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
        selected_on: videos that a sweep chose the weights on, none of which is reported on; 0 without a sweep.
        output: the file written; None without `--output`.
    """

    weights: tuple[float, ...]
    single_top1: tuple[float, ...]
    top1: float
    top5: float
    mean_class: float
    videos: int
    missing: int
    selected_on: int
    output: str | None


def fuse_files(request: FuseRequest) -> FuseReport:
    """Read, fuse and measure.

    Raises:
        OptionError: fewer than two files, or weights that do not fit.
        ScoreError: a file that cannot be read, or files of different videos.
    """
    if len(request.scores) < 2:
        raise OptionError("fuse: expected two score files or more")
    if request.weights and request.sweep:
        raise OptionError("fuse: give --weights or --sweep, not both")
    if request.select_on and (not request.sweep or len(request.select_on) != len(request.scores)):
        raise OptionError("--select-on: needs --sweep, and one file for each SCORES, in the same order")
    streams = [load_scores(path) for path in request.scores]
    if request.common:
        streams = keep_common(streams)
    streams = align_streams(streams)
    selected_on = 0
    if request.sweep:
        seen = [load_scores(path) for path in request.select_on]
        if not seen:
            halves = [split_halves(stream) for stream in streams]
            seen, streams = [half[0] for half in halves], [half[1] for half in halves]
        with option_errors():
            grid = _numbers("--sweep", request.sweep, ",")
        found = sweep_weights(seen, grid)
        weights, selected_on = found.weights, found.videos
    else:
        with option_errors():
            weights = _numbers("--weights", request.weights or ":".join("1" * len(streams)), ":")
            if len(weights) != len(streams):
                raise ValueError(f"--weights: expected {len(streams)} numbers, found {len(weights)}")
    fused = fuse_scores(streams, weights)
    figures = measure_accuracy(fused)
    if request.output is not None:
        files = [str(path) for path in request.scores]
        save_scores(fused, request.output, summary={**asdict(figures), "fused": files, "weights": list(weights)})
    return FuseReport(
        weights=weights,
        single_top1=tuple(measure_accuracy(stream).top1 for stream in streams),
        top1=figures.top1,
        top5=figures.top5,
        mean_class=figures.mean_class,
        videos=figures.videos,
        missing=figures.missing,
        selected_on=selected_on,
        output=str(request.output) if request.output else None,
    )


def _numbers(option: str, text: str, separator: str) -> tuple[float, ...]:
    """Parse numbers of 0 or more; ValueError names the option."""
    try:
        numbers = tuple(float(part) for part in text.split(separator))
    except ValueError:
        raise ValueError(f"{option}: expected numbers parted by {separator!r}, found {text!r}") from None
    if not all(0 <= number < float("inf") for number in numbers):
        raise ValueError(f"{option}: expected numbers of 0 or more, found {text!r}")
    return numbers
