"""The lists beside the shards: which videos have no labels, and which have not all of them, and why."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.label.plan import PlannedShard
from pipeline.shards import Receipt
from pipeline.shards.receipts import Outcome
from pipeline.store import write_atomically

QUARANTINE_NAME = "quarantine.csv"
PARTIAL_NAME = "partial.csv"
_COLUMNS = ("video_id", "split", "path", "reason", "message", "attempts", "shard")


def write_video_lists(shards_dir: Path, shards: Iterable[PlannedShard], receipts: dict[str, Receipt]) -> None:
    """Write ``quarantine.csv`` and ``partial.csv``: what the receipts say, and nothing else."""
    lists: dict[Outcome, list[list[Any]]] = {
        "quarantined": [[*_COLUMNS]],
        "partial": [[*_COLUMNS, "frames", "declared_frames"]],
    }
    for shard in shards:
        if shard.name not in receipts:
            continue
        paths = {record.video_id: record.path for record in shard.records}
        for entry in receipts[shard.name].outcomes:
            if entry.outcome not in lists:
                continue
            path, message = paths[entry.video_id], " ".join((entry.message or "").split())
            row = [entry.video_id, shard.split, path, entry.reason, message, entry.attempts, shard.name]
            if entry.outcome == "partial":
                row += [entry.frames, entry.declared_frames]
            lists[entry.outcome].append(row)
    _write(shards_dir / QUARANTINE_NAME, lists["quarantined"])
    _write(shards_dir / PARTIAL_NAME, lists["partial"])


def _write(path: Path, rows: list[list[Any]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_atomically(path, table.getvalue())
