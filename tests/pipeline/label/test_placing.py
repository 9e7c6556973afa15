"""Whatever attempts leave and wherever a kill falls, a receipt stands beside its own shard or not at all."""

import dataclasses
import hashlib
import itertools
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.errors import WorkspaceError
from pipeline.label.placing import attempt_paths, final_paths, place_leftovers, place_pair, sweep
from pipeline.shards import ExpectedShard, Receipt, VideoOutcome, read_receipt, set_aside, verify_dataset, write_receipt
from tests.pipeline.shards.made import FINGERPRINT, commit_shard

NAME = "train-00000-of-00001"


class Killed(Exception):
    pass


def made(attempt: str) -> Receipt:
    """Return the receipt of an attempt whose shard holds the attempt's name; its one video is quarantined."""
    return Receipt(
        dataset="made",
        split="train",
        shard=NAME,
        shard_index=0,
        shard_count=1,
        sha256=hashlib.sha256(attempt.encode()).hexdigest(),
        shard_bytes=len(attempt),
        frames=0,
        videos=0,
        fingerprint=FINGERPRINT,
        outcomes=(VideoOutcome(video_id="v", outcome="quarantined", reason="timeout", message=attempt),),
        attempt=attempt,
        seconds=1.0,
    )


def leave_shard(folder: Path, attempt: str) -> None:
    attempt_paths(folder, NAME, attempt).shard.write_text(attempt)


def leave_receipt(folder: Path, attempt: str) -> None:
    write_receipt(attempt_paths(folder, NAME, attempt).receipt, made(attempt))


def leave(folder: Path, attempt: str) -> None:
    leave_shard(folder, attempt)
    leave_receipt(folder, attempt)


def committed(folder: Path) -> str | None:
    """Return the attempt that is committed, having seen that shard and receipt are both its own."""
    shard, receipt = final_paths(folder, NAME)
    if not receipt.exists():
        return None
    attempt = json.loads(receipt.read_text())["attempt"]
    assert shard.read_text() == attempt
    return attempt


def kill_after(changes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be changed so often, and no more."""
    done = 0

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def stop_after(*args: object, **options: object) -> object:
            nonlocal done
            if done == changes:
                raise Killed
            done += 1
            return change(*args, **options)

        return stop_after

    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


STEPS = [(leave_shard, "a"), (leave_receipt, "a"), (leave_shard, "b"), (leave_receipt, "b")]
ORDERS = [
    order for order in itertools.permutations(STEPS) if order.index(STEPS[0]) < order.index(STEPS[1])
    and order.index(STEPS[2]) < order.index(STEPS[3])
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("ended", range(5))
def test_two_workers_at_one_shard_in_every_order(tmp_path: Path, order: tuple, ended: int) -> None:
    for step, attempt in order[:ended]:
        step(tmp_path, attempt)
        assert committed(tmp_path) is None
    place_leftovers(tmp_path, FINGERPRINT, {NAME})
    whole = {attempt for step, attempt in order[:ended] if step is leave_receipt}
    first = committed(tmp_path)
    assert (first in whole) if whole else first is None
    for step, attempt in order[ended:]:
        step(tmp_path, attempt)
        assert committed(tmp_path) == first
    if first is None:
        place_pair(tmp_path, made("a"))
        first = "a"
    sweep(tmp_path, ())
    assert committed(tmp_path) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{NAME}.h5", f"{NAME}.json"]


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("changes", range(4))
def test_a_kill_between_any_two_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int, old: str | None
) -> None:
    if old is not None:
        leave(tmp_path, old)
        place_pair(tmp_path, made(old))
    leave(tmp_path, "new")
    with monkeypatch.context() as patched:
        kill_after(changes, patched)
        try:
            place_pair(tmp_path, made("new"))
        except Killed:
            # Nothing was changed yet, or the shard is not committed for the moment.
            assert committed(tmp_path) == (old if changes == 0 else None)
    place_leftovers(tmp_path, FINGERPRINT, {NAME})
    sweep(tmp_path, ())
    assert committed(tmp_path) == (old if old is not None and changes == 0 else "new")
    assert len(list(tmp_path.iterdir())) == 2


def test_leftovers_of_other_labels_or_other_bytes_are_not_taken(tmp_path: Path) -> None:
    leave(tmp_path, "cut")
    attempt_paths(tmp_path, NAME, "cut").shard.write_text("cu")
    attempt_paths(tmp_path, NAME, "half").receipt.write_text("{")
    leave(tmp_path, "other")
    write_receipt(attempt_paths(tmp_path, NAME, "other").receipt, dataclasses.replace(made("other"), fingerprint="0"))
    leave(tmp_path, "stray")
    place_leftovers(tmp_path, FINGERPRINT, {"train-00001-of-00002"})
    attempt_paths(tmp_path, NAME, "stray").receipt.unlink()
    place_leftovers(tmp_path, FINGERPRINT, {NAME})
    assert committed(tmp_path) is None
    sweep(tmp_path, ())
    assert list(tmp_path.iterdir()) == []


def test_a_pair_that_is_not_there(tmp_path: Path) -> None:
    leave_receipt(tmp_path, "a")
    final_paths(tmp_path, NAME).shard.write_text("another's")
    with pytest.raises(WorkspaceError, match="cannot be written"):
        place_pair(tmp_path, made("a"))
    assert committed(tmp_path) is None


def test_a_leftover_that_cannot_be_read_or_removed_is_one_line(tmp_path: Path) -> None:
    leave_receipt(tmp_path, "a")
    attempt_paths(tmp_path, NAME, "a").shard.mkdir()
    with pytest.raises(WorkspaceError, match=r"a.h5.next: cannot be read \(Is a directory\)"):
        place_leftovers(tmp_path, FINGERPRINT, {NAME})
    with pytest.raises(WorkspaceError, match=r"a.h5.next: cannot be removed"):
        sweep(tmp_path, ())


def replace_often(source: Path, folder: Path) -> None:
    """Place new pairs over and over, by turns of two contents."""
    shards = [commit_shard(source / str(seed) / f"{NAME}.h5", [40, 60], seed=seed) for seed in (1, 2)]
    for number in range(30):
        shard = shards[number % 2]
        receipt = dataclasses.replace(read_receipt(shard.receipt_path), attempt=f"attempt{number}")
        paths = attempt_paths(folder, NAME, receipt.attempt)
        shutil.copyfile(shard.path, paths.shard)
        write_receipt(paths.receipt, receipt)
        place_pair(folder, receipt)


def test_a_shard_that_is_replaced_while_it_is_verified_is_not_called_bad(tmp_path: Path) -> None:
    for name in ("1", "2", "shards"):
        (tmp_path / name).mkdir()
    folder, reports = tmp_path / "shards", []
    commit_shard(folder / f"{NAME}.h5", [40, 60])
    expected = [ExpectedShard(NAME, ("v0", "v1", "v-broken"))]
    with ThreadPoolExecutor(1) as pool:
        replaced = pool.submit(replace_often, tmp_path, folder)
        while not replaced.done():
            reports.append(verify_dataset(folder, expected, fingerprint=FINGERPRINT, jobs=1))
        replaced.result()
    assert [report.bad for report in reports if report.bad] == []
    # A listing may fall between the two renames: the shard then counts as missing.
    assert all(report.figures or report.missing for report in reports) and any(report.ok for report in reports)


def test_a_receipt_that_goes_for_good_while_its_shard_is_verified_makes_it_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.shards.verification._REPLACING_SEC", 0.1)
    names = ("train-00000-of-00002.h5", "train-00001-of-00002.h5")
    others = [commit_shard(tmp_path / name, [3], prefix=f"s{index}-") for index, name in enumerate(names)]
    expected = [
        ExpectedShard(made.path.stem, (f"s{index}-0", f"s{index}--broken")) for index, made in enumerate(others)
    ]

    def set_second_aside(done: int, _: int) -> None:
        if done == 1:
            set_aside(tmp_path, others[1].path.stem)

    report = verify_dataset(tmp_path, expected, fingerprint=FINGERPRINT, jobs=1, on_shard=set_second_aside)
    assert report.bad == () and report.missing == (others[1].path.stem,)
