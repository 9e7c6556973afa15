"""Checking committed shards: against their receipts, against the plan, and every byte of their content."""

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import ShardError
from pipeline.files import sha256_of_file
from pipeline.local_copies import local_copy
from pipeline.processors import count_processors
from pipeline.shards.readback import ExpectedContent, find_content_faults
from pipeline.shards.receipts import Receipt, find_receipts, read_receipt
from pipeline.shards.sanity import LabelFigures, measure_labels
from pipeline.shards.schema import VideoStatus
from pipeline.store import read_present_files, rename

_MAX_JOBS = 16
# While a shard is replaced, there is no receipt between two renames: for milliseconds, or for good after a kill.
_REPLACING_SEC = 10.0
_POLL_SEC = 0.05


@dataclass(frozen=True)
class ExpectedShard:
    """What the plan says of one shard: its name without suffix, and its videos in the plan's order."""

    name: str
    video_ids: tuple[str, ...]


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a shard.

    Attributes:
        kind: "receipt", "missing_shard", "size", "sha256", "plan", "fingerprint" or "content".
        message: what was expected and what was found.
    """

    kind: str
    message: str


@dataclass(frozen=True)
class BadShard:
    """A shard that must be labelled again, or does not belong here, and why.

    Attributes:
        name: without suffix.
        faults: at least one.
        planned: whether it is in the plan.
    """

    name: str
    faults: tuple[Fault, ...]
    planned: bool = True


@dataclass(frozen=True)
class DatasetReport:
    """What `verify_dataset` found.

    Attributes:
        shards: planned shards.
        bad: shards (or receipts) that are damaged, or stand in the folder but not in the plan.
        missing: names of planned shards that are not finished.
        figures: of the labels of every whole shard, by its name.
        undigested: whole shards whose receipts an older program wrote, without a digest of themselves.
    """

    shards: int
    bad: tuple[BadShard, ...]
    missing: tuple[str, ...]
    figures: dict[str, LabelFigures] = field(default_factory=dict)
    undigested: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every planned shard is there and whole."""
        return not self.bad and not self.missing

    def updated(self, repaired: "DatasetReport") -> "DatasetReport":
        """Return what is known once the bad shards, and `only` those, were labelled and checked again."""
        figures, undigested = {**self.figures, **repaired.figures}, {*self.undigested, *repaired.undigested}
        return DatasetReport(self.shards, repaired.bad, repaired.missing, figures, tuple(sorted(undigested)))


def verify_shard(
    receipt_path: Path, *, fingerprint: str | None = None, video_ids: Sequence[str] | None = None
) -> list[Fault]:
    """Check one committed shard by its receipt; [] when it is whole.

    Size and SHA-256 come first: a file that fails them is not opened, since HDF5 may crash on a damaged one. Then every
    data set is read and checked, which finds what was already wrong when the receipt was written.

    Args:
        receipt_path: ``<shard>.json``; the shard is the ``.h5`` beside it.
        fingerprint: the plan's; None to compare only the receipt with the shard.
        video_ids: the plan's videos of this shard, in order; None to take the receipt's.
    """
    with local_copy(receipt_path.with_suffix(".h5")) as shard_path:
        return _check(receipt_path, shard_path, fingerprint, video_ids).faults


def _file_faults(shard_path: Path, receipt: Receipt) -> list[Fault]:
    """Check the bytes and the content of a shard file on a local disk."""
    try:
        shard_bytes = shard_path.stat().st_size
        if shard_bytes != receipt.shard_bytes:
            return [Fault("size", f"{shard_bytes} bytes, the receipt says {receipt.shard_bytes}")]
        digest = sha256_of_file(shard_path)
    except OSError as error:
        return [Fault("missing_shard", f"cannot be read: {error.strerror}")]
    if digest != receipt.sha256:
        return [Fault("sha256", f"SHA-256 is {digest[:12]}..., the receipt says {receipt.sha256[:12]}...")]
    labelled = [outcome for outcome in receipt.outcomes if outcome.outcome != "quarantined"]
    content = find_content_faults(
        shard_path,
        ExpectedContent(
            attributes={
                "dataset": receipt.dataset,
                "split": receipt.split,
                "fingerprint": receipt.fingerprint,
                "schema_version": receipt.schema_version,
            },
            video_ids=receipt.labelled_ids,
            frames=tuple(outcome.frames for outcome in labelled),
            statuses=tuple(VideoStatus[outcome.outcome.upper()] for outcome in labelled),
        ),
    )
    return [Fault("content", message) for message in content]


def verify_dataset(
    shards_dir: Path,
    expected_shards: Iterable[ExpectedShard],
    *,
    fingerprint: str,
    only: Collection[str] | None = None,
    jobs: int | None = None,
    on_shard: Callable[[int, int], None] = lambda _done, _of: None,
) -> DatasetReport:
    """Check every shard of a data set in processes of their own; sum up the labels of the whole ones.

    Another command may replace shards meanwhile: each is judged as it stood before, or as it stands then.

    Args:
        shards_dir: the folder of shards and receipts.
        expected_shards: the plan's.
        fingerprint: the plan's.
        only: names of the shards to open; None opens all. What is missing or not in the plan is reported of all.
        jobs: processes; 1 checks in this process; None takes one for each core, at most 16.
        on_shard: called with the shards checked so far, and those to check in all.

    Raises:
        ValueError: jobs is below 1.
        ShardError: a checking process died.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, not {jobs}")
    planned = {shard.name: shard for shard in expected_shards}
    receipts = {path.stem: path for path in find_receipts(shards_dir)}
    chosen = planned if only is None else only
    todo = [
        (receipts[name], fingerprint, planned[name].video_ids)
        for name in planned
        if name in receipts and name in chosen
    ]
    num_jobs = min(jobs or min(count_processors(), _MAX_JOBS), max(1, len(todo)))
    bad: list[BadShard] = []
    figures: dict[str, LabelFigures] = {}
    undigested: list[str] = []
    gone: set[str] = set()
    for done, (task, checked) in enumerate(zip(todo, _check_all(todo, num_jobs), strict=True), start=1):
        name = task[0].stem
        if checked is None:
            gone.add(name)
        elif checked.figures is None:
            bad.append(BadShard(name, tuple(checked.faults)))
        else:
            figures[name] = checked.figures
            undigested += () if checked.has_digest else (name,)
        on_shard(done, len(todo))
    strays = (name for name in receipts if name not in planned)
    bad += [
        BadShard(name, (Fault("plan", "stands in the folder but not in the plan"),), planned=False) for name in strays
    ]
    missing = tuple(name for name in planned if name not in receipts or name in gone)
    return DatasetReport(len(planned), tuple(bad), missing, figures, tuple(undigested))


def set_aside(shards_dir: Path, name: str) -> list[Path]:
    """Rename a bad shard and its receipt to ``*.bad``, so that it counts as not labelled; return the new paths.

    The receipt goes first: after a kill in between, the shard already counts as unfinished.
    """
    moved = []
    for path in (shards_dir / f"{name}.json", shards_dir / f"{name}.h5"):
        if path.exists():
            moved.append(rename(path, path.with_name(f"{path.name}.bad")))
    return moved


def _plan_faults(receipt: Receipt, name: str, fingerprint: str | None, video_ids: Sequence[str] | None) -> list[Fault]:
    faults = []
    if receipt.shard != name:
        faults.append(Fault("receipt", f"is the receipt of {receipt.shard}"))
    if fingerprint is not None and receipt.fingerprint != fingerprint:
        faults.append(Fault("fingerprint", f"fingerprint {receipt.fingerprint}, the plan has {fingerprint}"))
    found_ids = [outcome.video_id for outcome in receipt.outcomes]
    if video_ids is not None and found_ids != list(video_ids):
        faults.append(Fault("plan", f"{len(found_ids)} videos that are not the plan's {len(video_ids)}, in its order"))
    return faults


class _Checked(NamedTuple):
    """What one shard's check gave: its faults; whether its receipt has a digest of itself; figures where asked for."""

    faults: list[Fault]
    has_digest: bool = False
    figures: LabelFigures | None = None


def _check(receipt_path: Path, shard_path: Path, fingerprint: str | None, video_ids: Sequence[str] | None) -> _Checked:
    try:
        receipt = read_receipt(receipt_path)
    except ShardError as error:
        return _Checked([Fault("receipt", str(error))])
    faults = _plan_faults(receipt, receipt_path.stem, fingerprint, video_ids)
    return _Checked([*faults, *_file_faults(shard_path, receipt)], receipt.digest is not None)


def _check_task(task: tuple[Path, str, Sequence[str]]) -> _Checked | None:
    """Check one shard; None where its receipt is gone, so that it is not committed any more.

    A receipt never stands beside a shard that is not its own. So one that is the same after the check as before it
    speaks of the file that was checked. Where it is another one, what stands there now is checked.
    """
    receipt_path, fingerprint, video_ids = task
    receipt = _await_receipt(receipt_path)
    while receipt is not None:
        with local_copy(receipt_path.with_suffix(".h5")) as shard_path:
            checked = _check(receipt_path, shard_path, fingerprint, video_ids)
            if not checked.faults:
                # It may be set aside before its labels are read.
                with contextlib.suppress(FileNotFoundError):
                    return checked._replace(figures=measure_labels(shard_path))
        before, receipt = receipt, _await_receipt(receipt_path)
        if checked.faults and receipt == before:
            return checked
    return None


def _await_receipt(path: Path) -> bytes | None:
    """Read a receipt that may be about to be replaced; None where none comes back."""
    deadline = time.monotonic() + _REPLACING_SEC
    while (found := next(read_present_files([path]), None)) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SEC)
    return None if found is None else found[1]


def _check_all(tasks: Sequence[tuple[Path, str, Sequence[str]]], jobs: int) -> Iterator[_Checked | None]:
    if jobs == 1:
        yield from map(_check_task, tasks)
        return
    # Not fork: this process may hold threads and open HDF5 files.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            yield from pool.map(_check_task, tasks)
        except BrokenProcessPool as error:
            raise ShardError(
                "a process that checked shards died; run kinet-pipeline verify --jobs 1 to see at which shard"
            ) from error
