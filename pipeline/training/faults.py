"""What could not be used, each thing once: named in the log and in a run's faults.jsonl, counted by kind."""

import json
import logging
from collections import Counter
from pathlib import Path

from pipeline.files import write_atomically

logger = logging.getLogger(__name__)

FAULTS_FILE = "faults.jsonl"


class FaultLog:
    """Faults of data, of a run's or of a scoring's. What an earlier part of the same run met is read back, so that a
    resumed run counts it once.

    Args:
        run_dir: the run's folder; it must exist. None: there is no file, only the log.
        writes: False counts alone, and leaves file and log to another rank.
        max_named: so many faults are named in the log, all of them in the file; None for all in both.
    """

    def __init__(self, run_dir: Path | None, *, writes: bool = True, max_named: int | None = None) -> None:
        self._path = None if run_dir is None else run_dir / FAULTS_FILE
        self._writes = writes
        self._max_named = max_named
        self._seen: dict[tuple[str, str], str] = {}
        if self._path is not None and self._path.exists():
            text = self._path.read_text(encoding="utf-8")
            whole, _, cut_short = text.rpartition("\n")
            if cut_short and writes:  # by a crash; the next line must not be joined to it
                write_atomically(self._path, f"{whole}\n" if whole else "")
            for line in whole.splitlines():
                fault = json.loads(line)
                self._seen[fault["name"], fault["kind"]] = fault["message"]

    def note(self, name: str, kind: str, message: str) -> None:
        """Count one fault of one video or frame, unless it was counted before."""
        if (name, kind) in self._seen:
            return
        self._seen[name, kind] = message
        if not self._writes:
            return
        if self._max_named is None or len(self._seen) <= self._max_named:
            logger.warning("%s: %s (%s)", name, message, kind)
        elif len(self._seen) == self._max_named + 1:
            logger.warning(
                "more is left out; %s", f"all of it is named in {self._path}" if self._path else "it is counted"
            )
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"name": name, "kind": kind, "message": message}) + "\n")

    @property
    def first(self) -> str:
        """The first fault in words."""
        return next((f"{name}: {message}" for (name, _), message in self._seen.items()), "none")

    @property
    def counts(self) -> dict[str, int]:
        """How many things are at fault, by kind."""
        return dict(Counter(kind for _, kind in self._seen))
