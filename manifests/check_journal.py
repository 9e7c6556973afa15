"""What a running check has found so far, on disk, so that a killed check loses nothing."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType

from manifests.check import ProbedVideo
from manifests.record import VideoRecord


class CheckJournal:
    """One line of JSON for each video checked; a context manager that keeps the file open for appending.

    It lives beside the manifest while a check runs, and goes when its findings stand in the manifest.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, records: Sequence[VideoRecord]) -> dict[int, ProbedVideo]:
        """Return what a killed check found, by position in `records`.

        A line that the kill cut short, and one of a video that has since gone or moved, counts for nothing.
        """
        if not self._path.exists():
            return {}
        positions = {(record.video_id, str(record.path)): position for position, record in enumerate(records)}
        found = {}
        for line in self._path.read_text(encoding="ascii", errors="replace").splitlines():
            try:
                video_id, path, values = json.loads(line)
                probed = ProbedVideo(**values)
            except (ValueError, TypeError):
                continue
            if (video_id, path) in positions:
                found[positions[video_id, path]] = probed
        return found

    def __enter__(self) -> "CheckJournal":
        self._file = self._path.open("a", encoding="ascii")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, record: VideoRecord, probed: ProbedVideo) -> None:
        """Write what was found of a video; from here on a killed process does not lose it."""
        # A newline first: it ends the line that a kill may have cut short.
        self._file.write("\n" + json.dumps([record.video_id, str(record.path), asdict(probed)]))
        self._file.flush()

    def remove(self) -> None:
        """Delete the file; its findings stand elsewhere, or are not wanted."""
        self._path.unlink(missing_ok=True)
