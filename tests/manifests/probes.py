"""Probes for the tests of `manifests.check`: what a decoder can do to its process. Run in spawned processes."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from manifests.check import ProbedVideo
from manifests.errors import KinetError


def probe_by_name(path: Path, beat: Callable[[bool], None]) -> ProbedVideo:
    """Die, hang, lose the disk, find a fault, or measure the file, as its name says."""
    if path.stem.startswith("die"):
        os.abort()
    if path.stem.startswith("unmounted"):
        raise KinetError(f"{path}: its disk is gone")
    if path.stem.startswith("hang"):
        time.sleep(600)
    if path.stem.startswith(("long", "endless")):
        for _ in range(15):
            time.sleep(0.1)
            beat(path.stem.startswith("long"))
    if path.stem.startswith("bad"):
        return ProbedVideo(reason="unreadable", message=f"{path}: not a video")
    if path.stem.startswith("cut"):
        return ProbedVideo(3, 25.0, 48, 64, reason="truncated", message=f"{path}: ends early")
    return ProbedVideo(path.stat().st_size, 25.0, 48, 64)
