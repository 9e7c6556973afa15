"""Giving a worker's shard and receipt their final names: no receipt ever stands beside a shard that is not its own.

Workers at the same shard know nothing of each other, and one on a lost network may come back after hours. So each
attempt leaves its pair under its own names, ``<shard>.<attempt>.h5.next`` and, last, ``<shard>.<attempt>.json.next``,
both durable. The driver, which alone holds the folder, places the first pair of a shard: it removes the receipt that
stands there (when a shard is replaced), renames the shard, then the receipt. Later pairs are swept away.

A kill before the first of these steps leaves what stood there; one in between leaves a shard that is not committed,
until the next run finishes the steps.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ShardError
from pipeline.files import faults_named, fsync_dir
from pipeline.label.journal import COPY_JOURNAL_SUFFIX, JOURNAL_SUFFIX
from pipeline.label.pieces import shard_of_piece
from pipeline.label.tasks import ShardTask
from pipeline.shards import Receipt, read_receipt
from pipeline.shards.receipts import find_receipts
from pipeline.store import find_files, is_local, remove, rename, sha256_of_file

NEXT_SUFFIX = ".next"


class PairPaths(NamedTuple):
    """Where a shard and its receipt lie."""

    shard: Path
    receipt: Path


def final_paths(shards_dir: Path, name: str) -> PairPaths:
    """Return the paths of a committed shard."""
    return PairPaths(shards_dir / f"{name}.h5", shards_dir / f"{name}.json")


def attempt_paths(shards_dir: Path, name: str, attempt: str) -> PairPaths:
    """Return where one attempt at a shard leaves its pair."""
    stem = f"{name}.{attempt}"
    return PairPaths(shards_dir / f"{stem}.h5{NEXT_SUFFIX}", shards_dir / f"{stem}.json{NEXT_SUFFIX}")


def place_pair(shards_dir: Path, receipt: Receipt) -> None:
    """Commit the pair that an attempt left, in place of the old one if there is any.

    Raises:
        WorkspaceError: disk or store cannot be written.
    """
    made, final = attempt_paths(shards_dir, receipt.shard, receipt.attempt), final_paths(shards_dir, receipt.shard)
    with faults_named(final.receipt):
        if final.receipt.exists():
            remove(final.receipt)
            _keep_order(shards_dir)
        rename(made.shard, final.shard)
        _keep_order(shards_dir)
    _place_receipt(shards_dir, receipt)


def place_leftovers(shards_dir: Path, fingerprint: str, names: Collection[str]) -> None:
    """Commit what a killed run had finished: pairs of these shards, where none is committed, whose bytes are right.

    A pair that was to replace a committed one is not taken: which of the two is newer cannot be told. It is swept away,
    and made again.

    Raises:
        WorkspaceError: disk or store cannot be read or written.
    """
    committed = {path.stem for path in find_receipts(shards_dir)}
    for path in find_files(shards_dir, f"*.json{NEXT_SUFFIX}"):
        try:
            receipt = read_receipt(path)
        except ShardError:
            continue
        made = attempt_paths(shards_dir, receipt.shard, receipt.attempt)
        is_wanted = receipt.shard in names and receipt.shard not in committed and receipt.fingerprint == fingerprint
        if not is_wanted or path != made.receipt:
            continue
        if _has_bytes(made.shard, receipt):
            place_pair(shards_dir, receipt)
        elif _has_bytes(final_paths(shards_dir, receipt.shard).shard, receipt):
            # The kill came between shard and receipt.
            _place_receipt(shards_dir, receipt)
        else:
            continue
        committed.add(receipt.shard)


def sweep(shards_dir: Path, tasks: Sequence[ShardTask]) -> None:
    """Remove what attempts left that are over: half files, pairs not taken, files without a receipt.

    Of shards that are done, their journals and pieces too.

    Raises:
        WorkspaceError: disk or store cannot be written.
    """
    open_shards = {task.name for task in tasks}
    unfinished = {f"{task.name}.h5" for task in tasks if task.again is None}
    found = find_files(shards_dir, "*")
    names = {path.name for path in found}
    for path in found:
        shard_name = path.name.removesuffix(JOURNAL_SUFFIX) if path.suffix == JOURNAL_SUFFIX else shard_of_piece(path)
        is_done = shard_name is not None and shard_name not in open_shards and f"{shard_name}.json" in names
        # A second worker's journal, which the driver did not live to fold into the shard's.
        is_done |= path.name.endswith(COPY_JOURNAL_SUFFIX)
        if path.suffix in (".part", NEXT_SUFFIX) or path.name in unfinished or is_done:
            remove(path)


def _place_receipt(shards_dir: Path, receipt: Receipt) -> None:
    final = final_paths(shards_dir, receipt.shard)
    with faults_named(final.receipt):
        rename(attempt_paths(shards_dir, receipt.shard, receipt.attempt).receipt, final.receipt)
        _keep_order(shards_dir)


def _has_bytes(shard_path: Path, receipt: Receipt) -> bool:
    with faults_named(shard_path, "read"):
        try:
            return sha256_of_file(shard_path) == receipt.sha256
        except FileNotFoundError:
            return False


def _keep_order(shards_dir: Path) -> None:
    """Wait until a disk has what was changed so far; a store does each change at once."""
    if is_local(shards_dir):
        fsync_dir(shards_dir)
