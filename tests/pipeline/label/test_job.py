"""A labelling job in one process: right labels, every video accounted for, nothing lost, nothing done twice."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests import read_manifest
from pipeline.errors import ManifestError, PlanError, TeacherError, WorkspaceError
from pipeline.label.decode_ahead import DecodeAhead
from pipeline.label.goals import RedoShards
from pipeline.label.job import LabelJob, report_if_done, run_label_job, shard_header
from pipeline.label.local import LocalPool
from pipeline.label.placing import attempt_paths
from pipeline.label.plan import Plan, even_sizes, manifest_digest, partition, write_plan
from pipeline.label.progress import LabelProgress
from pipeline.label.sets import rival_dirs
from pipeline.label.settings import LabelSettings
from pipeline.label.tasks import ShardTask
from pipeline.label.teacher_files import digest_teacher_files
from pipeline.lock import only_run
from pipeline.shards import LabelIndex, read_receipt
from pipeline.shards.schema import BOTH_TEACHERS
from pipeline.video import VideoFile, hash_frames
from tests.pipeline.label.conftest import LENGTHS, Bench
from tests.pipeline.label.toy_teachers import BrightPixels, MeanColour


def test_labels_are_the_teachers_own_for_every_frame(bench: Bench) -> None:
    bench.label()
    index = LabelIndex(bench.shards_dir)
    human, scene = BrightPixels(bench.teachers.human_path), MeanColour(bench.teachers.scene_path)
    for number, length in enumerate(LENGTHS):
        record = next(record for record in bench.records if record.video_id == f"good{number}")
        with VideoFile(record.path) as video:
            frames = np.stack([frame for frame, _ in video.frames()])
        assert len(frames) == length == index.num_frames(record.video_id)
        labels = index.read(record.video_id, np.arange(length))
        np.testing.assert_array_equal(labels.masks, human.predict_masks(torch.from_numpy(frames)).numpy())
        expected = scene.predict_scenes(torch.from_numpy(frames))
        np.testing.assert_array_equal(labels.scene_indices, expected.indices_BK.numpy())
        np.testing.assert_array_equal(labels.scene_probs, expected.probs_BK.numpy().astype(np.float16))
        np.testing.assert_array_equal(labels.frame_hashes, hash_frames(frames))
        assert labels.valid.all()


def test_every_video_ends_in_one_state(bench: Bench) -> None:
    status = bench.label().status
    assert status.planned == len(bench.records) == status.ok + status.partial + status.quarantined + status.missing
    assert (status.ok, status.partial, status.quarantined, status.missing) == (len(LENGTHS), 1, 4, 0)
    assert status.reasons == {"truncated": 1, "unreadable": 1, "empty_file": 1, "missing": 1, "no_video_stream": 1}
    with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
        listed = {row["video_id"]: row for row in csv.DictReader(stream)}
    assert {name: row["reason"] for name, row in listed.items()} == {
        "text": "unreadable",
        "empty": "empty_file",
        "absent": "missing",
        "sound": "no_video_stream",
    }
    assert all(str(bench.workspace.root) in row["message"] for row in listed.values())


def test_a_broken_run_goes_on_and_ends_in_the_same_bytes(bench: Bench) -> None:
    bench.label()
    unbroken = bench.shard_bytes()
    for path in bench.shards_dir.iterdir():
        path.unlink()

    class Stop(Exception):
        pass

    for frames_until_stop in (1, 9, 30):

        def stop(progress: LabelProgress, limit: int = frames_until_stop) -> None:
            if progress.frames >= limit:
                raise Stop

        with pytest.raises(Stop):
            bench.label(stop)
    kept = {path.name: path.stat().st_mtime_ns for path in bench.shards_dir.glob("*.h5")}
    report = bench.label()
    assert bench.shard_bytes() == unbroken
    assert {name: (bench.shards_dir / name).stat().st_mtime_ns for name in kept} == kept
    assert report.status.missing == 0
    assert not list(bench.shards_dir.glob("*.part"))
    assert bench.label().frames == 0


def test_a_shard_without_its_receipt_is_made_again(bench: Bench) -> None:
    bench.label()
    before = bench.shard_bytes()
    receipt = next(bench.shards_dir.glob("train-00001*.json"))
    receipt.unlink()
    report = bench.label()
    assert receipt.exists() and bench.shard_bytes() == before
    assert report.frames == json.loads(receipt.read_text())["frames"]


def test_what_workers_knew_outlives_them_until_the_shard_is_committed(bench: Bench) -> None:
    with LocalPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir) as pool:
        ingredients = {"manifest": manifest_digest(bench.records), **pool.describe(measure=False).ingredients}
        plan = Plan("mix", 8, ingredients, partition(bench.records, even_sizes(bench.records, 8)))
        write_plan(bench.shards_dir, plan)
        shard = plan.shards[0]
        # The driver is killed before it commits what this yields.
        (receipt,) = pool.label_all([ShardTask(shard, shard_header(plan, shard.split))], lambda _: None)
    journal = bench.shards_dir / f"{shard.name}.journal"
    assert journal.exists() and not (bench.shards_dir / f"{shard.name}.json").exists()
    assert {path.name for path in bench.shards_dir.glob("*.next")} == {
        f"{shard.name}.{receipt.attempt}.{suffix}.next" for suffix in ("h5", "json")
    }
    report = bench.label(videos_per_shard=8)
    assert report.frames == report.status.frames - receipt.frames and report.status.missing == 0
    assert read_receipt(bench.shards_dir / f"{shard.name}.json") == receipt
    assert not [path for suffix in ("next", "journal") for path in bench.shards_dir.glob(f"*.{suffix}")]


def test_one_split_at_a_time(bench: Bench) -> None:
    assert bench.label(split="val").status.planned == sum(record.split == "val" for record in bench.records)
    assert all(path.name.startswith("val-") for path in bench.shards_dir.glob("*.h5"))
    bench.label()
    with pytest.raises(PlanError, match="no split 'test'; it has train, val"):
        bench.label(split="test")


def test_another_teacher_is_refused_and_named(bench: Bench) -> None:
    bench.label()
    bench.teachers.scene_path.write_text("another")
    with pytest.raises(PlanError, match="scene_teacher: mean_colour sha256"):
        bench.label()


def test_a_changed_manifest_is_refused(bench: Bench) -> None:
    bench.label()
    bench.records[0] = dataclasses.replace(bench.records[0], label=2)
    with pytest.raises(PlanError, match="manifest of mix changed"):
        bench.label()


def test_probing_and_moving_the_videos_is_no_change(bench: Bench, tmp_path: Path) -> None:
    moved = [
        dataclasses.replace(record, path=tmp_path / "elsewhere" / record.path.name, num_frames=7)
        for record in bench.records
    ]
    assert manifest_digest(moved) == manifest_digest(read_manifest(bench.workspace.manifest_path("mix")))
    assert manifest_digest(moved[::-1]) != manifest_digest(moved)


def test_a_second_run_at_the_same_time_is_refused(bench: Bench) -> None:
    def run_another(_: LabelProgress) -> None:
        bench.label()

    with pytest.raises(WorkspaceError, match="another label run is at work"):
        bench.label(run_another)


def test_another_shard_size_is_refused(bench: Bench) -> None:
    bench.label()
    with pytest.raises(WorkspaceError, match="begun with 3 videos a shard"):
        bench.label(videos_per_shard=4)
    assert bench.label(videos_per_shard=None).frames == 0


def test_a_shard_size_is_refused_where_work_decided_it(bench: Bench) -> None:
    bench.label(videos_per_shard=None)
    with pytest.raises(WorkspaceError, match="begun with about ten minutes' work a shard; leave --videos-per-shard"):
        bench.label(videos_per_shard=128)


def test_a_factory_that_is_not_there(bench: Bench) -> None:
    bench.teachers = dataclasses.replace(bench.teachers, human_factory="tests.nowhere:load")
    with pytest.raises(TeacherError, match=r"tests\.nowhere:load"):
        bench.label()


@pytest.mark.parametrize("size", [1, 4, 128])
def test_the_partition_holds_each_video_once_in_order(bench: Bench, size: int) -> None:
    shards = partition(bench.records, even_sizes(bench.records, size))
    for split in ("train", "val"):
        members = [record for record in bench.records if record.split == split]
        mine = [shard for shard in shards if shard.split == split]
        assert [record for shard in mine for record in shard.records] == members
        assert [shard.index for shard in mine] == list(range(mine[0].count)) == list(range(len(mine)))
        assert all(len(shard.records) == size for shard in mine[:-1])
    assert len({shard.name for shard in shards}) == len(shards)


def test_an_empty_manifest_fixes_no_plan(bench: Bench) -> None:
    bench.records = []
    with pytest.raises(ManifestError, match="lists no video"):
        bench.label()
    assert not (bench.shards_dir / "plan.json").exists()


def test_a_disk_that_is_not_mounted_settles_nothing(bench: Bench) -> None:
    folder = bench.records[0].path.parent
    folder.rename(folder.with_name("away"))
    with pytest.raises(WorkspaceError, match="is its disk mounted"):
        bench.label()
    folder.with_name("away").rename(folder)
    assert bench.label().status.ok == len(LENGTHS)


def test_progress_counts_what_the_receipts_say(bench: Bench) -> None:
    seen: list[LabelProgress] = []
    bench.label(seen.append, split="train")
    status = bench.label(seen.append).status
    assert [progress.videos_done for progress in seen] == sorted(progress.videos_done for progress in seen)
    assert seen[-1].videos_done == seen[-1].videos_planned == status.planned
    assert seen[-1].quarantined == status.quarantined == 4


def test_a_done_job_needs_no_workers_until_a_teacher_changes(bench: Bench) -> None:
    # A teacher of one's own may have no side file.
    bench.teachers.human_path.with_suffix(".json").write_text("{}")

    def job(split: str | None = None) -> LabelJob:
        return LabelJob(
            "mix", bench.records, bench.shards_dir, split, teacher_files=digest_teacher_files(bench.teachers)
        )

    assert report_if_done(job()) is None
    for split, others in (("train", None), (None, "all")):
        with LocalPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir) as pool:
            report = run_label_job(job(split), pool, lambda _: None)
        found = report_if_done(job(split))
        assert found is not None and found.status == report.status and found.frames == 0
        assert (report_if_done(job()) is None) == (others is None)
    bench.teachers.scene_path.with_suffix(".json").write_text('{"another": "record"}')
    assert report_if_done(job()) is None


def test_a_done_job_finishes_what_a_kill_left(bench: Bench) -> None:
    job = LabelJob("mix", bench.records, bench.shards_dir, teacher_files=digest_teacher_files(bench.teachers))
    with LocalPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir) as pool:
        run_label_job(job, pool, lambda _: None)
    table = bench.shards_dir / "quarantine.csv"
    listed = table.read_text()
    # A kill between the last shard and its receipt, and before the list.
    receipt = next(bench.shards_dir.glob("train-*.json"))
    attempt = json.loads(receipt.read_text())["attempt"]
    receipt.rename(attempt_paths(bench.shards_dir, receipt.stem, attempt).receipt)
    table.write_text("half a list")
    (bench.shards_dir / "x.h5.abc.part").touch()
    with only_run(bench.shards_dir), pytest.raises(WorkspaceError, match="another label run is at work"):
        report_if_done(job)
    report = report_if_done(job)
    assert report is not None and report.status.missing == 0
    assert receipt.exists() and table.read_text() == listed
    assert not [path for path in bench.shards_dir.iterdir() if path.suffix in (".part", ".next")]


def test_a_shard_that_is_good_by_now_is_not_labelled_again(bench: Bench) -> None:
    bench.label()
    before = bench.shard_bytes()
    good, bad = sorted(before)[:2]
    (bench.shards_dir / bad).write_bytes(before[bad][:-1])
    job = LabelJob(
        "mix", bench.records, bench.shards_dir, goal=RedoShards(frozenset({Path(good).stem, Path(bad).stem}))
    )
    with LocalPool(bench.teachers, LabelSettings(batch_size=8), bench.shards_dir) as pool:
        run_label_job(job, pool, lambda _: None)
    assert bench.shard_bytes() == before
    assert [path.name for path in sorted(bench.shards_dir.glob("*.h5.bad"))] == [f"{bad}.bad"]


def test_the_quarantine_list_grows_while_labelling_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.label.job.QUARANTINE_SEC", 0.0)
    listed: list[int] = []

    def count(progress: LabelProgress) -> None:
        if progress.quarantined:
            with (bench.shards_dir / "quarantine.csv").open(newline="") as stream:
                assert len(list(csv.DictReader(stream))) == progress.quarantined
            listed.append(progress.quarantined)

    bench.label(count)
    assert listed[-1] == 4 and listed[0] < 4


def test_of_two_sets_begun_together_one_is_refused(bench: Bench) -> None:
    (other,) = rival_dirs(bench.workspace, "mix", ("scene",))
    assert other == bench.shards_dir
    assert set(rival_dirs(bench.workspace, "mix", BOTH_TEACHERS)) == {other / "human", other / "scene"}
    alone = other / "scene"
    # Both were told that nothing is begun; the other one then wrote its plan first.
    bench.label(split="val")
    job = LabelJob("mix", bench.records, alone, videos_per_shard=3, rival_dirs=(other,))
    teachers = dataclasses.replace(bench.teachers, kinds=("scene",))
    with (
        LocalPool(teachers, LabelSettings(batch_size=8), alone) as pool,
        pytest.raises(WorkspaceError, match="begun at the same time"),
    ):
        run_label_job(job, pool, lambda _: None)
    assert not (alone / "plan.json").exists() and not list(alone.glob("*.h5*"))
    assert bench.label().status.missing == 0


def test_decoders_are_told_of_the_next_shard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lists: list[tuple[list[str], list[str]]] = []
    events = DecodeAhead.events

    def note(self: DecodeAhead, records, witnesses, then=()):
        lists.append(([record.video_id for record in records], [record.video_id for record in then]))
        return events(self, records, witnesses, then)

    monkeypatch.setattr(DecodeAhead, "events", note)
    bench.label(videos_per_shard=2)
    assert len(lists) > 3
    assert [then for _, then in lists] == [records for records, _ in lists[1:]] + [[]]
