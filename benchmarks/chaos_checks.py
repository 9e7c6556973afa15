"""What must hold of a job that was killed again and again; each function returns what does not, in words."""

import re
import signal
from collections import Counter

from chaos_job import BATCH_SIZE, VIDEOS_PER_SHARD, Command, FileIdentity, Job
from chaos_kills import DISK_FULL
from chaos_processes import DECODER, WORKER, marked_processes, wait_for
from chaos_videos import POISON
from shard_difference import describe_difference

# Until what a command left behind has noticed that it is gone.
ORPHAN_SEC = 60.0
_SHOWN = 5


class CommittedFiles:
    """Watches that what is committed stays the very file it was."""

    def __init__(self) -> None:
        self._known: dict[str, FileIdentity] = {}

    def find_changes(self, job: Job) -> list[str]:
        """Look once more; say which shards and receipts were made anew or are gone."""
        now = job.committed()
        changed = sorted(name for name, identity in self._known.items() if now.get(name) != identity)
        self._known = now
        return [f"committed, and touched again: {_some(changed)}"] if changed else []


def find_end_faults(command: Command) -> list[str]:
    """Say where a command ended otherwise than by what befell it."""
    code, said = command.process.returncode, command.said().strip()
    explained = {
        0: True,
        -signal.SIGKILL: "driver SIGKILL" in command.kills,
        128 + signal.SIGTERM: "driver SIGTERM" in command.kills,
        # While Python was still starting.
        -signal.SIGTERM: "driver SIGTERM" in command.kills and not said,
        # A shard may lose too many workers to kills; the command says so and is to be run again.
        1: ("disk full" in command.kills and DISK_FULL in said)
        or (bool(set(command.kills) - {"disk full"}) and "could not be labelled" in said),
    }
    if explained.get(code, False) and "Traceback" not in said:
        return []
    return [f"exit {code} after {command.kills or 'no kill'}: {' / '.join(said.splitlines()[-4:])[-600:]}"]


def find_differences(job: Job, expected: Job) -> list[str]:
    """Compare a job with the unbroken one, and both with what was planned."""
    found, wanted = job.shard_bytes(), expected.shard_bytes()
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    faults = [f"{len(differing)} of {len(wanted)} shards differ: {_some(differing)}"] if differing else []
    for name in differing[:_SHOWN]:
        if name in found and name in wanted:
            faults.append(f"{name}: {describe_difference(job.shards_dir / name, expected.shards_dir / name)}")
    counts, planned = job.num_entries(), {record.video_id for record in job.records}
    for name, videos in (
        ("lost", planned - counts.keys()),
        ("not planned", counts.keys() - planned),
        ("twice", {video_id for video_id, count in counts.items() if count > 1}),
    ):
        if videos:
            faults.append(f"{len(videos)} videos {name}: {_some(sorted(videos))}")
    expected_ends = expected.ends()
    for video_id, end in job.ends().items():
        wanted_end = expected_ends.get(video_id, end)
        outcome, reasons = POISON.get(video_id, (wanted_end.outcome, {wanted_end.reason}))
        if end.outcome != outcome or end.reason not in reasons or end.shard != wanted_end.shard:
            faults.append(f"{video_id} ended as {end}, not {outcome} {sorted(map(str, reasons))}, {wanted_end.shard}")
    if left := job.leftovers():
        faults.append(f"left behind: {_some(left)}")
    return faults + _quarantine_faults(job, expected)


def find_report_faults(job: Job) -> list[str]:
    """Ask ``verify`` and ``status``: nothing bad, and every planned video in one state."""
    faults = []
    code, answer = job.ask("verify")
    if code != 0:
        faults.append(f"verify ends with exit code {code}: {str(answer)[:300]}")
    code, status = job.ask("status")
    outcomes = Counter(end.outcome for end in job.ends().values())
    wanted = {"planned": len(job.records), "missing": 0, "shards": job.num_shards, "planned_shards": job.num_shards}
    wanted |= {outcome: outcomes[outcome] for outcome in ("ok", "partial", "quarantined")}
    found = {name: status.get(name) for name in wanted}
    if code != 0 or found != wanted or sum(outcomes.values()) != len(job.records):
        faults.append(f"status ends with exit code {code} and says {found}, expected {wanted}")
    return faults


def find_repeated_work(job: Job, *, num_batches: int, unbroken: int, num_commands: int, num_kills: int) -> list[str]:
    """Say where more was labelled again than the open shards that kills can have cost.

    Args:
        job: done.
        num_batches: that went through its teachers.
        unbroken: as many of the unbroken run.
        num_commands, num_kills: what it took.
    """
    # A command has a shard open in each of two workers, and may have one more in a late shard's second worker.
    num_lost = 3 * num_commands + num_kills
    # Each video may be labelled alone, so that its last batch is not filled up by the next one.
    most = VIDEOS_PER_SHARD * (-(-job.longest_video() // BATCH_SIZE) + 1)
    if num_batches <= unbroken + num_lost * most:
        return []
    return [f"{num_batches} batches labelled, {unbroken} unbroken; {num_lost} open shards explain {num_lost * most}"]


def find_processes(mark: str, *, whole_cluster: bool) -> list[str]:
    """Wait for workers and decoders to end, or with `whole_cluster` for all; name those of the run that do not."""

    def left() -> list[str]:
        lines = sorted(marked_processes(mark).values())
        return [line for line in lines if whole_cluster or WORKER in line or DECODER in line]

    wait_for(lambda: not left(), ORPHAN_SEC)
    return [f"processes left over: {_some([line[:100] for line in left()])}"] if left() else []


def _quarantine_faults(job: Job, expected: Job) -> list[str]:
    """Hold quarantine.csv against the job's receipts and the unbroken run's list."""
    rows, wanted = job.quarantine(), expected.quarantine()
    quarantined = {video_id for video_id, end in job.ends().items() if end.outcome == "quarantined"}
    faults = []
    if rows.keys() != quarantined or rows.keys() != wanted.keys():
        faults.append(f"quarantine.csv lists {sorted(rows)}, receipts {sorted(quarantined)}, unbroken {sorted(wanted)}")
    for video_id in rows.keys() & wanted.keys():
        row, other = _comparable(rows[video_id]), _comparable(wanted[video_id])
        if "crashed" in POISON[video_id].reasons - {other["reason"]}:
            # One of two reasons, as kills have it; `find_differences` looks at it.
            row, other = ({**entry, "reason": "", "message": ""} for entry in (row, other))
        if row != other:
            faults.append(f"quarantine.csv says {row}, unbroken {other}")
        if int(rows[video_id]["attempts"]) < int(wanted[video_id]["attempts"]):
            faults.append(f"{video_id} was given up after {rows[video_id]['attempts']} attempts")
    return faults


def _comparable(row: dict[str, str]) -> dict[str, str]:
    """Leave out attempts, seconds and frames, which kills may change."""
    return {name: re.sub(r"\d+", "#", value) for name, value in row.items() if name != "attempts"} | {
        "shard": row["shard"]
    }


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
