"""What the teachers' and the workers' faults are called, with the way out where it is known. No Ray here."""

from pipeline.errors import KinetError, LabellingError, PredictionError

_MAX_MESSAGE = 300


def explain_failure(error: PredictionError) -> LabellingError:
    """Say what a teacher raised, whether any video is to blame, and what to do."""
    whose = "" if error.with_videos else "the teachers fail on plain frames too, so it is no video's doing: "
    return LabellingError(f"{whose}{error.message}; {_way_out(error.message)}")


def explain_error(error: BaseException) -> KinetError:
    """Put what a worker ended with into one line: itself where it is one of ours."""
    if isinstance(error, PredictionError):
        return explain_failure(error)
    if isinstance(error, KinetError):
        return error
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:_MAX_MESSAGE]}"
    return LabellingError(f"{what}; {_way_out(what)}")


def _way_out(what: str) -> str:
    if "outofmemory" in what.lower() or "out of memory" in what.lower():
        return "give a smaller --batch-size, or --gpus-per-worker 1"
    return "--workers 0 --debug shows where"
