"""Trying quarantined videos again: their shard becomes that of a run in which they were good from the start."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import cli
from pipeline.errors import ShardError
from pipeline.label.placing import attempt_paths
from pipeline.label.plan import read_plan
from pipeline.label.progress import LabelProgress
from pipeline.shards import read_receipt
from tests.pipeline.label.conftest import LENGTHS, TOY_HUMAN, TOY_SCENE, Bench
from tests.videos import moving_frames, write_video

VIDEOS_PER_SHARD = 8


@pytest.fixture
def mended(bench: Bench) -> dict[str, bytes]:
    """Label with the empty file as a good video, keep the bytes, and label again with the empty file as it was.

    In its shard good videos stand before it and after it.
    """
    mend(bench)
    bench.label(videos_per_shard=VIDEOS_PER_SHARD)
    content = bench.shard_bytes()
    shutil.rmtree(bench.shards_dir)
    path_of_empty(bench).write_bytes(b"")
    bench.label(videos_per_shard=VIDEOS_PER_SHARD)
    return content


def path_of_empty(bench: Bench) -> Path:
    return next(record.path for record in bench.records if record.video_id == "empty")


def mend(bench: Bench) -> None:
    write_video(path_of_empty(bench), moving_frames(50, seed=9))


def test_a_video_that_became_good_is_labelled_and_the_rest_kept(bench: Bench, mended: dict[str, bytes]) -> None:
    before = bench.shard_bytes()
    inodes = {name: (bench.shards_dir / name).stat().st_ino for name in before}
    mend(bench)
    report = bench.retry("empty_file")
    assert bench.shard_bytes() == mended
    assert (report.retried, report.frames) == (1, 50)
    assert report.status.ok == len(LENGTHS) + 1 and report.status.quarantined == 3
    untouched = [name for name in before if before[name] == mended[name]]
    assert len(untouched) == len(before) - 1
    assert {name: (bench.shards_dir / name).stat().st_ino for name in untouched} == {n: inodes[n] for n in untouched}
    assert "empty_file" not in (bench.shards_dir / "quarantine.csv").read_text()
    assert not list(bench.shards_dir.glob("*.next")) and not list(bench.shards_dir.glob("*.journal"))


def test_videos_that_are_still_bad_stay_quarantined_and_count_their_attempts(bench: Bench) -> None:
    bench.label()
    before = bench.shard_bytes()
    report = bench.retry()
    assert report.retried == 4 and report.status.quarantined == 4
    assert bench.shard_bytes() == before
    outcomes = [
        outcome
        for path in bench.shards_dir.glob("*-of-*.json")
        for outcome in json.loads(path.read_text())["outcomes"]
        if outcome["outcome"] == "quarantined"
    ]
    assert {outcome["attempts"] for outcome in outcomes} == {2}


def make_whole(bench: Bench) -> None:
    (path,) = (record.path for record in bench.records if record.video_id == "cut")
    write_video(path, moving_frames(60), container_options={"movflags": "faststart"})


def test_partial_videos_are_listed_and_redone(bench: Bench) -> None:
    cut = next(record.path for record in bench.records if record.video_id == "cut")
    content = cut.read_bytes()
    make_whole(bench)
    bench.label(videos_per_shard=VIDEOS_PER_SHARD)
    whole = bench.shard_bytes()
    shutil.rmtree(bench.shards_dir)
    cut.write_bytes(content)
    status = bench.label(videos_per_shard=VIDEOS_PER_SHARD).status
    before = bench.shard_bytes()
    (row,) = listed_partial(bench)
    assert (row["video_id"], row["reason"], row["attempts"], row["declared_frames"]) == ("cut", "truncated", "1", "60")
    assert 0 < int(row["frames"]) < 60 and row["message"] and row["path"] == str(cut)
    assert status.partial_reasons == {"truncated": 1} and "truncated" not in status.quarantined_reasons
    as_before = bench.retry(only_partial=True)
    assert as_before.retried == 1 and bench.shard_bytes() == before and listed_partial(bench)[0]["attempts"] == "2"
    make_whole(bench)
    assert bench.retry("corrupt", only_partial=True).retried == 0
    mended = bench.retry("truncated")
    assert (mended.retried, mended.status.partial, mended.status.ok) == (1, 0, len(LENGTHS) + 1)
    assert bench.shard_bytes() == whole and not listed_partial(bench)


def test_a_partial_video_whose_file_is_gone_keeps_its_labels(bench: Bench) -> None:
    bench.label(videos_per_shard=VIDEOS_PER_SHARD)
    before = bench.shard_bytes()
    next(record.path for record in bench.records if record.video_id == "cut").write_bytes(b"")
    report = bench.retry(only_partial=True)
    assert bench.shard_bytes() == before and report.status.partial == 1
    (row,) = listed_partial(bench)
    assert (row["reason"], row["attempts"]) == ("truncated", "2")


def listed_partial(bench: Bench) -> list[dict[str, str]]:
    with (bench.shards_dir / "partial.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_status_tells_the_reasons_apart(bench: Bench) -> None:
    lines = bench.label().status.as_text().splitlines()
    partial, quarantined = (next(i for i, line in enumerate(lines) if line.startswith(w)) for w in ("part", "quar"))
    assert [line.split() for line in lines[partial + 1 : quarantined]] == [["1", "truncated"]]
    after = [line.split()[1] for line in lines[quarantined + 1 : quarantined + 5]]
    assert after == ["empty_file", "missing", "no_video_stream", "unreadable"]


def test_a_reason_nobody_has_is_nothing_to_do(bench: Bench) -> None:
    bench.label()
    assert bench.retry("crashed").retried == 0


def test_nothing_to_try_again_is_said_and_is_no_fault(bench: Bench) -> None:
    bench.label()
    before = bench.shard_bytes()
    arguments = ["retry", "--dataset", "mix", "--workspace", str(bench.workspace.root), "--workers", "0"]
    arguments += ["--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE, "--batch-size", "8", "--progress", "none"]
    result = CliRunner().invoke(cli, [*arguments, "--reason", "crashed"])
    assert result.exit_code == 0, result.output
    assert result.stdout.endswith(
        "this run    nothing to try again: no quarantined or partial video of these reasons\n"
    )
    as_json = CliRunner().invoke(cli, [*arguments, "--reason", "crashed", "--json"])
    assert as_json.exit_code == 0 and json.loads(as_json.stdout)["retried"] == 0
    assert bench.shard_bytes() == before


def test_a_killed_retry_leaves_the_old_shard(bench: Bench, mended: dict[str, bytes]) -> None:
    class Stop(Exception):
        pass

    def stop(progress: LabelProgress) -> None:
        if progress.frames > 30:
            raise Stop

    before = bench.shard_bytes()
    mend(bench)
    with pytest.raises(Stop):
        bench.retry(on_progress=stop)
    assert bench.shard_bytes() == before and bench.label(videos_per_shard=None).status.missing == 0
    bench.retry()
    assert bench.shard_bytes() == mended


def test_progress_goes_from_what_is_not_tried_again_to_all(bench: Bench) -> None:
    bench.label(videos_per_shard=1)
    seen: list[LabelProgress] = []
    status = bench.retry(on_progress=seen.append).status
    done = [progress.videos_done for progress in seen]
    assert done == sorted(done) and set(done) == set(range(status.planned - 4, status.planned + 1))
    assert {(progress.videos_planned, progress.quarantined) for progress in seen} == {(status.planned, 4)}
    mend(bench)
    bench.retry("empty_file", on_progress=seen.append)
    assert (seen[-1].videos_done, seen[-1].videos_planned, seen[-1].quarantined) == (status.planned, status.planned, 3)


def test_retries_that_are_killed_early_come_round_to_every_shard(bench: Bench) -> None:
    bench.label(videos_per_shard=1)
    attempts = []
    for _ in range(5):
        retry_one_shard(bench)
        attempts.append(quarantined_attempts(bench))
    assert attempts == [[2, 1, 1, 1], [2, 2, 1, 1], [2, 2, 2, 1], [2, 2, 2, 2], [3, 2, 2, 2]]


def retry_one_shard(bench: Bench) -> None:
    """Retry until the first shard is committed, as a run that is killed then."""

    class Kill(Exception):
        pass

    seen: list[LabelProgress] = []

    def kill(progress: LabelProgress) -> None:
        seen.append(progress)
        # The first is the run's start; a quarantined video gives no frames, and the next comes after its shard.
        if len(seen) == 2:
            raise Kill

    with pytest.raises(Kill):
        bench.retry(on_progress=kill)


def quarantined_attempts(bench: Bench) -> list[int]:
    """Say how often each quarantined video was tried, in the plan's order."""
    plan = read_plan(bench.shards_dir, "mix", bench.records)
    assert plan is not None
    receipts = [read_receipt(bench.shards_dir / f"{shard.name}.json") for shard in plan.shards]
    return [entry.attempts for receipt in receipts for entry in receipt.outcomes if entry.outcome == "quarantined"]


def test_a_damaged_shard_is_not_copied_from(bench: Bench, mended: dict[str, bytes]) -> None:
    mend(bench)
    for path in bench.shards_dir.glob("*.h5"):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ShardError, match="verify --repair"):
        bench.retry("empty_file")


def test_a_shard_is_missing_rather_than_mixed_while_it_is_replaced(bench: Bench, mended: dict[str, bytes]) -> None:
    mend(bench)
    name = next(name for name, content in bench.shard_bytes().items() if content != mended[name])
    receipt = (bench.shards_dir / name).with_suffix(".json")
    bench.retry("empty_file")
    # As a kill between the renames of the shard and of its receipt leaves it.
    attempt = json.loads(receipt.read_text())["attempt"]
    receipt.rename(attempt_paths(bench.shards_dir, receipt.stem, attempt).receipt)
    assert bench.label(videos_per_shard=None).frames == 0
    assert bench.shard_bytes() == mended and receipt.exists()
