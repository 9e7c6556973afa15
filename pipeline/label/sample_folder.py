"""The folder that a sample is labelled into, and the removal of those that killed runs left."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import WorkspaceError
from pipeline.lock import only_run
from pipeline.store import is_local, temporary_folder

logger = logging.getLogger(__name__)

PREFIX = ".estimate-"


@contextmanager
def sample_folder(parent: Path) -> Iterator[Path]:
    """Make a folder that is removed when the block ends; first remove those of runs that were killed.

    A folder is held by its run as a data set is, so one that is in use is left alone. Those in a store are not swept.
    """
    if is_local(parent):
        for path in parent.glob(f"{PREFIX}*"):
            _sweep(path)
    with temporary_folder(parent, PREFIX) as folder, only_run(folder):
        yield folder


def _sweep(folder: Path) -> None:
    try:
        with only_run(folder):
            logger.warning("%s: left by an estimate that was killed; removed", folder)
            shutil.rmtree(folder, ignore_errors=True)
    except WorkspaceError:
        # Another estimate is at work in it.
        return
