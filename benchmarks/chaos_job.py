"""The job that the chaos program kills: its workspace, its commands, and what lies on its disk."""

import contextlib
import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from chaos_teachers import BATCHES_NAME, PAUSE_NAME
from chaos_videos import DECODER_MEMORY_GIB

from manifests import VideoRecord, write_manifest
from pipeline.workspace import Workspace

DATASET = "chaos"
VIDEOS_PER_SHARD = 2
BATCH_SIZE = 8
# A teacher that hangs; the longest pause is a tenth of it.
TEACHER_STALL_SEC = 20.0
# What a hanging verify or status may take.
CHECK_SEC = 300.0


class FileIdentity(NamedTuple):
    """What changes when a file is made anew, whatever its content; nothing but zeros where it is gone."""

    inode: int = 0
    mtime_ns: int = 0


class Ended(NamedTuple):
    """A video's end, from a receipt."""

    outcome: str
    reason: str | None
    shard: str


class Command:
    """One running ``label``.

    Attributes:
        process: the driver.
        kills: kinds of those that hit it or its workers.
    """

    def __init__(self, arguments: list[str], log_path: Path) -> None:
        self._log_path = log_path
        self.kills: list[str] = []
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", *arguments], stdout=subprocess.DEVNULL, stderr=log
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def said(self) -> str:
        """Return its stderr up to now."""
        return self._log_path.read_text(errors="replace")


class Job:
    """One workspace and what its commands leave in it.

    Args:
        root: of the workspace.
        records: what is to be labelled.
        folder: the program's own, where the teachers look.
        address: of the Ray cluster; None labels without Ray, and 0 workers.
        num_workers: of the commands.
    """

    def __init__(
        self, root: Path, records: list[VideoRecord], folder: Path, address: str | None, num_workers: int
    ) -> None:
        self.workspace = Workspace(root)
        self.shards_dir = self.workspace.shards_dir(DATASET)
        self.records = records
        self.num_shards = -(-len(records) // VIDEOS_PER_SHARD)
        self._folder = folder
        self._address = address
        self._num_workers = num_workers
        self._num_commands = 0
        for kind in ("human", "scene"):
            path = self.workspace.teacher_path(kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("light")
        manifest = self.workspace.manifest_path(DATASET)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, records)

    def start(self) -> Command:
        """Start the command."""
        self._num_commands += 1
        options = ["--workers", str(self._num_workers), "--progress", "none", "--json"]
        options += ["--address", self._address] if self._address else []
        options += ["--videos-per-shard", str(VIDEOS_PER_SHARD), "--batch-size", str(BATCH_SIZE)]
        options += ["--decoder-memory-gib", str(DECODER_MEMORY_GIB), "--teacher-stall-sec", str(TEACHER_STALL_SEC)]
        options += ["--human-teacher", "chaos_teachers:load_human", "--scene-teacher", "chaos_teachers:load_scene"]
        log_path = self._folder / f"{self.workspace.root.name}-{self._num_commands}.log"
        return Command(["label", *self._which, *options], log_path)

    def ask(self, name: str) -> tuple[int, dict[str, Any]]:
        """Run ``verify`` or ``status`` on it; return exit code and answer."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", name, *self._which, "--json"],
            capture_output=True,
            text=True,
            timeout=CHECK_SEC,
            check=False,
        )
        answer: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            answer = json.loads(done.stdout)
        return done.returncode, answer

    def slow_down(self, pause_sec: float) -> None:
        """Let the teachers pause so long at each batch from now on."""
        new = self._folder / f"{PAUSE_NAME}.next"
        new.write_text(str(pause_sec))
        new.replace(self._folder / PAUSE_NAME)

    @property
    def num_batches(self) -> int:
        """Batches of all jobs through the teachers up to now, those of the endless video not counted."""
        path = self._folder / BATCHES_NAME
        return path.stat().st_size if path.exists() else 0

    def is_labelling(self, since_sec: float) -> bool:
        """Whether a worker has begun a file since a time of the day."""
        for part in self.shards_dir.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime >= since_sec:
                    return True
        return False

    def committed(self) -> dict[str, FileIdentity]:
        """Return all receipts and their shards as files, by name."""
        found = {}
        for receipt in self._receipts():
            for path in (receipt, receipt.with_suffix(".h5")):
                found[path.name] = FileIdentity()
                with contextlib.suppress(FileNotFoundError):
                    state = path.stat()
                    found[path.name] = FileIdentity(state.st_ino, state.st_mtime_ns)
        return found

    def shard_bytes(self) -> dict[str, bytes]:
        """Return every shard's content by name."""
        return {path.name: path.read_bytes() for path in sorted(self.shards_dir.glob("*.h5"))}

    def ends(self) -> dict[str, Ended]:
        """Return every video's end by its id."""
        return {
            entry["video_id"]: Ended(entry["outcome"], entry["reason"], path.stem)
            for path in self._receipts()
            for entry in json.loads(path.read_text())["outcomes"]
        }

    def num_entries(self) -> Counter[str]:
        """Count the entries of each video in all receipts."""
        receipts = (json.loads(path.read_text()) for path in self._receipts())
        return Counter(entry["video_id"] for receipt in receipts for entry in receipt["outcomes"])

    def longest_video(self) -> int:
        """Return the most frames that a video has in the receipts."""
        receipts = (json.loads(path.read_text()) for path in self._receipts())
        return max((entry["frames"] for receipt in receipts for entry in receipt["outcomes"]), default=0)

    def quarantine(self) -> dict[str, dict[str, str]]:
        """Return the rows of quarantine.csv by video; none where there is no such file."""
        path = self.shards_dir / "quarantine.csv"
        if not path.exists():
            return {}
        with path.open(newline="") as stream:
            return {row["video_id"]: row for row in csv.DictReader(stream)}

    def leftovers(self) -> list[str]:
        """Return the names of what no finished job has."""
        patterns = ("*.part", "*.journal", "*.next")
        return sorted(path.name for pattern in patterns for path in self.shards_dir.glob(pattern))

    @property
    def _which(self) -> list[str]:
        return ["--dataset", DATASET, "--workspace", os.fspath(self.workspace.root)]

    def _receipts(self) -> list[Path]:
        # Of shards: `<shard>.<number>.json` is of a video that is kept by itself, until its shard is done.
        return sorted(path for path in self.shards_dir.glob("*-of-*.json") if "." not in path.stem)
