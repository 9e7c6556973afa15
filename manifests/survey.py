"""A manifest's videos checked: the probed values go into the manifest, the faults into a list beside it."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.check import Probe, ProbedVideo, probe_videos, with_probe, write_faults
from manifests.check_journal import CheckJournal
from manifests.errors import ManifestError
from manifests.manifest import write_manifest
from manifests.record import VideoRecord


@dataclass(frozen=True)
class SurveyResult:
    """What a check found.

    Attributes:
        videos: rows of the manifest.
        checked: of them, those opened this time.
        sound: those without a fault.
        frames: sum of the known frame counts.
        reasons: number of faulty videos by typed reason.
        faults_path: the list of faulty videos, or None where there is none.
    """

    videos: int
    checked: int
    sound: int
    frames: int
    reasons: dict[str, int]
    faults_path: Path | None

    def as_json(self) -> dict[str, object]:
        """Return the result as plain values."""
        return {
            "videos": self.videos,
            "checked": self.checked,
            "sound": self.sound,
            "frames": self.frames,
            "reasons": self.reasons,
            "faults": str(self.faults_path) if self.faults_path else None,
        }

    def as_text(self) -> str:
        """Return the result for people."""
        line = f"{self.sound} of {self.videos} videos are sound, {self.frames} frames"
        if self.reasons:
            counts = ", ".join(f"{number} {reason}" for reason, number in self.reasons.items())
            line += f"; faulty: {counts}; listed in {self.faults_path}"
        return line


def survey(
    manifest_path: Path,
    records: Sequence[VideoRecord],
    probe: Probe,
    *,
    num_workers: int,
    stall_sec: float,
    timeout_sec: float,
    resume: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> SurveyResult:
    """Probe the videos, rewrite the manifest with what was found, and list the faults.

    A video whose decode ended early keeps the number of frames that it gave, and stands in the list. When the loop is
    broken off by an exception, what was found until then is written before the exception goes on; when the process is
    killed, it stands in a journal beside the manifest.

    Args:
        manifest_path: rewritten atomically; the faults go beside it as ``<name>.faults.csv``.
        records: the manifest's rows.
        probe, num_workers, stall_sec, timeout_sec: as in `probe_videos`.
        resume: leave out videos that have been probed and don't stand in the list of faults, and all that
            a killed check got to.
        on_progress: called with the number of videos done, those left out among them.

    Raises:
        KinetError: the probe met what is no video's fault.
        ManifestError: the manifest has no video, or not one of its videos is sound.
    """
    if not records:
        raise ManifestError(
            f"manifest {manifest_path} lists no video; build it again with kinet-pipeline manifest build"
        )
    faults_path = manifest_path.with_name(f"{manifest_path.stem}.faults.csv")
    known_faults = _read_faults(faults_path)
    journal = CheckJournal(manifest_path.with_name(f"{manifest_path.stem}.check.jsonl"))
    if not resume:
        journal.remove()
    found = journal.read(records)
    positions = [
        position
        for position, record in enumerate(records)
        if position not in found
        and not (resume and record.num_frames is not None and record.video_id not in known_faults)
    ]
    num_checked = 0
    try:
        results = probe_videos(
            [records[position].path for position in positions],
            probe,
            num_workers=num_workers,
            stall_sec=stall_sec,
            timeout_sec=timeout_sec,
        )
        with journal:
            for num_checked, (number, probed) in enumerate(results, 1):
                found[positions[number]] = probed
                journal.add(records[positions[number]], probed)
                if on_progress is not None:
                    on_progress(len(records) - len(positions) + num_checked)
    finally:
        updated = [
            with_probe(record, found[position]) if position in found else record
            for position, record in enumerate(records)
        ]
        # Faults known before of videos that were not reached this time stay in the list.
        faults = [
            (record, found.get(position) or known_faults[record.video_id])
            for position, record in enumerate(records)
            if (found[position].reason is not None if position in found else record.video_id in known_faults)
        ]
        write_manifest(manifest_path, updated)
        if faults:
            write_faults(faults_path, faults)
        else:
            faults_path.unlink(missing_ok=True)
        journal.remove()
    result = SurveyResult(
        videos=len(records),
        checked=num_checked,
        sound=len(records) - len(faults),
        frames=sum(record.num_frames or 0 for record in updated),
        reasons=dict(Counter(str(probed.reason) for _, probed in faults).most_common()),
        faults_path=faults_path if faults else None,
    )
    if result.sound == 0:
        raise ManifestError(f"manifest {manifest_path}: {result.as_text()}; is the folder of the videos the right one?")
    return result


def _read_faults(path: Path) -> dict[str, ProbedVideo]:
    """Read the faults that an earlier check listed, by video_id."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as faults_file:
            return {
                row["video_id"]: ProbedVideo(reason=row["reason"], message=row["message"])
                for row in csv.DictReader(faults_file)
            }
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a list of faults ({error}); delete it and check again") from None
