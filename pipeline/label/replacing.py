"""Replacing a committed shard and its receipt by newer ones: at any kill the old pair or the new one, never a mix.

A worker leaves the new pair beside the old one, as ``<name>.h5.next`` and, last, ``<name>.json.next``, both durable.
The driver, which alone holds the folder, then removes the old receipt, renames the new shard and renames the new
receipt. Up to the first of these steps the old pair stands; from then on the shard counts as not committed, for the
moment until the new receipt stands. A run that is killed in between is finished by the next one: nothing is labelled
twice.
"""

from pathlib import Path

from pipeline.files import disk_fault, fsync_dir
from pipeline.store import find_files, is_local, remove, rename

NEXT_SUFFIX = ".next"


def next_path_of(path: Path) -> Path:
    """Return where the successor of a shard or receipt is prepared."""
    return path.with_name(path.name + NEXT_SUFFIX)


def replace_shard(shards_dir: Path, name: str) -> None:
    """Put a prepared pair in the place of the old one; raises WorkspaceError when disk or store cannot be written."""
    shard_path, receipt_path = shards_dir / f"{name}.h5", shards_dir / f"{name}.json"
    try:
        if next_path_of(shard_path).exists():
            remove(receipt_path)
            _keep_order(shards_dir)
            rename(next_path_of(shard_path), shard_path)
        rename(next_path_of(receipt_path), receipt_path)
        _keep_order(shards_dir)
    except OSError as error:
        raise disk_fault(receipt_path, error) from error


def finish_replacements(shards_dir: Path) -> None:
    """Do what a killed run left to do: put whole pairs in place, remove what is half of one."""
    for receipt_path in find_files(shards_dir, f"*.json{NEXT_SUFFIX}"):
        replace_shard(shards_dir, receipt_path.name.removesuffix(f".json{NEXT_SUFFIX}"))
    for shard_path in find_files(shards_dir, f"*.h5{NEXT_SUFFIX}"):
        remove(shard_path)


def _keep_order(shards_dir: Path) -> None:
    """Wait until a disk has what was changed so far; a store does each change at once."""
    if is_local(shards_dir):
        fsync_dir(shards_dir)
