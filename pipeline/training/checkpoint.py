"""Checkpoints that are either whole or not there, and that hold plain data only.

A checkpoint is `checkpoints/step-00000120.pt` in the run's folder: written under another name, synced, then renamed.
The best one, where a run validates, is `checkpoints/best.pt`. A checkpoint holds tensors, numbers, strings, lists and
dictionaries, so that it loads with `weights_only=True`; nothing in it is ever executed.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import CheckpointError
from pipeline.files import disk_fault, writing
from pipeline.training.weights import read_plain_file

logger = logging.getLogger(__name__)

CHECKPOINT_FORMAT = 1
BEST_NAME = "best.pt"
_NAME = re.compile(r"step-(\d+)\.pt")


def checkpoint_path(checkpoint_dir: Path, step: int) -> Path:
    """Return where the checkpoint after `step` optimiser steps lies."""
    return checkpoint_dir / f"step-{step:08d}.pt"


def list_checkpoints(checkpoint_dir: Path) -> list[Path]:
    """List a run's checkpoints, oldest first; a write that was cut short is not among them."""
    if not checkpoint_dir.is_dir():
        return []
    return sorted(path for path in checkpoint_dir.iterdir() if _NAME.fullmatch(path.name))


def save_checkpoint(state: Mapping[str, Any], checkpoint_dir: Path, *, step: int, keep: int = 2) -> Path:
    """Write a checkpoint atomically, then remove all but the newest `keep`.

    Raises:
        WorkspaceError, CheckpointError: the disk is full or refuses the write; the earlier checkpoints are untouched.
    """
    path = checkpoint_path(checkpoint_dir, step)
    _write(state, path)
    for old_path in list_checkpoints(checkpoint_dir)[:-keep]:
        old_path.unlink(missing_ok=True)
    return path


def save_best(state: Mapping[str, Any], checkpoint_dir: Path) -> Path:
    """Write the best checkpoint so far, `best.pt`, atomically over the one before; raises as `save_checkpoint`."""
    path = checkpoint_dir / BEST_NAME
    _write(state, path)
    return path


def _write(state: Mapping[str, Any], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as part_path:
            torch.save({"format": CHECKPOINT_FORMAT, **state}, part_path)
    except OSError as error:
        raise disk_fault(path, error) from error
    except RuntimeError as error:  # torch's zip writer turns a failed write into one
        raise CheckpointError(
            f"checkpoint {path}: cannot be written ({str(error).splitlines()[0]}); the earlier ones are kept: "
            "free some disk space, then go on with --resume"
        ) from error


def load_checkpoint(path: Path, *, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read one checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another format, or holding more than plain data.
    """
    state = read_plain_file(path, device=device)
    found = state.get("format") if isinstance(state, dict) else None
    if not isinstance(state, dict) or found != CHECKPOINT_FORMAT:
        raise CheckpointError(f"checkpoint {path}: expected format {CHECKPOINT_FORMAT}, found {found}")
    return state


def load_latest_checkpoint(checkpoint_dir: Path, *, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole; None where there is none at all.

    A damaged one is passed over with a warning, so that a bad block costs some steps and not the run.

    Raises:
        CheckpointError: there are checkpoints, and every one is damaged.
    """
    newest_first = list_checkpoints(checkpoint_dir)[::-1]
    for path in newest_first:
        try:
            return load_checkpoint(path, device=device)
        except CheckpointError as error:
            if path == newest_first[-1]:
                raise CheckpointError(
                    f"{error}, or start a new run: none of this run's checkpoints is whole"
                ) from error
            logger.warning("%s; taking the one before", error)
    return None
