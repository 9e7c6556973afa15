"""What stage one set aside, read from the receipts alone."""

from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ShardError
from pipeline.shards.receipts import load_all_receipts
from pipeline.shards.repair_hint import repair_hint


class QuarantinedVideo(NamedTuple):
    """A video without labels: the typed reason (a value of `pipeline.errors.Reason`) and the fault in words."""

    video_id: str
    reason: str
    message: str


def read_quarantine(shards_dir: Path) -> dict[str, QuarantinedVideo]:
    """Find the quarantined videos of a data set's committed shards, by id; {} where nothing is labelled yet.

    Raises:
        ShardError: a receipt is malformed.
    """
    found = {}
    for path, receipt in load_all_receipts(shards_dir):
        try:
            for outcome in receipt["outcomes"]:
                if outcome["outcome"] == "quarantined":
                    video = QuarantinedVideo(outcome["video_id"], outcome["reason"], outcome["message"] or "")
                    found[video.video_id] = video
        except (KeyError, TypeError) as error:
            raise ShardError(f"receipt {path}: malformed ({error!r}); {repair_hint(path)}") from error
    return found
