"""Shards of ten minutes' work: cut by the frames that videos have, whoever says so, and fixed by the plan."""

import dataclasses
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.errors import PlanError
from pipeline.label.plan import PLAN_NAME, Plan, even_sizes, manifest_digest, partition, read_plan, write_plan
from pipeline.label.shard_sizes import (
    SIZE_THREADS,
    USUAL_FRAMES_PER_VIDEO,
    _file_sizes,
    choose_sizes,
    expect_frames,
)
from pipeline.video.headers import count_by_headers
from tests.pipeline.label.conftest import Bench
from tests.videos import moving_frames, write_video


def made_records(counts: Sequence[int | None], split: str = "train") -> list[VideoRecord]:
    return [
        VideoRecord(f"{split}{i}", Path(f"/nowhere/{split}{i}.mp4"), split, 0, "class", num_frames=count)
        for i, count in enumerate(counts)
    ]


def test_a_shard_is_ten_minutes_of_work_at_most() -> None:
    clips = made_records([100] * 1000)
    assert choose_sizes(clips, 1000.0) == choose_sizes(clips, None) == {"train": [128] * 7 + [104]}
    # 2 frames a second are 1,200 in ten minutes; 1,024 is the power of two below.
    assert choose_sizes(clips, 2.0) == {"train": [10] * 100}
    assert choose_sizes(clips[:3], 0.001) == {"train": [1, 1, 1]}


def test_two_measurements_of_one_machine_give_the_same_shards() -> None:
    clips = made_records([300] * 500)
    assert choose_sizes(clips, 17.0) == choose_sizes(clips, 21.0) != choose_sizes(clips, 40.0)


def test_a_long_video_stands_alone_and_the_others_keep_their_company() -> None:
    hours = 3 * 3600 * 30
    records = [*made_records([300] * 10 + [hours] + [300] * 10), *made_records([hours, 300], "val")]
    sizes = choose_sizes(records, 100.0)
    assert sizes == {"train": [10, 1, 10], "val": [1, 1]}
    shards = partition(records, sizes)
    assert [record for shard in shards for record in shard.records] == records
    assert [shard.name for shard in shards][:2] == ["train-00000-of-00003", "train-00001-of-00003"]


def test_frames_that_nobody_counted_are_expected_from_headers_and_sizes(bench: Bench) -> None:
    folder = bench.records[0].path.parent
    long_path = write_video(folder / "long.mp4", moving_frames(400, seed=3))
    records = [*bench.records, dataclasses.replace(bench.records[0], video_id="long", path=long_path)]
    expected = dict(zip([record.video_id for record in records], expect_frames(records), strict=True))
    assert expected["long"] == 400 and expected["good3"] == 40 and expected["cut"] == 60
    assert expected["absent"] == expected["empty"] == USUAL_FRAMES_PER_VIDEO
    # No header says how long a text is: its size does, roughly.
    assert 0 < expected["text"] < 100
    assert choose_sizes(records[-3:], 0.7)["train"][-1] == 1


def test_a_file_whose_header_is_not_read_is_expected_by_its_size(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.label.shard_sizes.LARGEST_HEADERS", 1)
    monkeypatch.setattr("pipeline.label.shard_sizes.SAMPLED_HEADERS", 1)
    long, short = (record for record in bench.records if record.video_id in ("good3", "good5"))
    sizes = {record.video_id: record.path.stat().st_size for record in (long, short)}
    guessed = expect_frames([long, short])
    assert guessed == [40, pytest.approx(40 * sizes["good5"] / sizes["good3"], abs=1)]


def test_sizes_are_asked_for_side_by_side_and_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.mp4" for i in range(3 * SIZE_THREADS)]
    for i, path in enumerate(paths):
        path.write_bytes(b"x" * (i % 7))
    in_hand = threading.Barrier(SIZE_THREADS, timeout=60)
    monkeypatch.setattr("pipeline.label.shard_sizes._file_bytes", lambda path: in_hand.wait() * 0 + path.stat().st_size)
    assert list(_file_sizes(paths).items()) == [(path, i % 7) for i, path in enumerate(paths) if i % 7]


def test_headers_of_whatever_files(bench: Bench, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.mp4")
    good = {record.video_id: record.path for record in bench.records}
    paths = [tmp_path / "fifo.mp4", good["good1"], good["text"], good["absent"], good["good3"]]
    assert count_by_headers(paths, timeout_sec=60) == [None, 16, None, None, 40]
    assert count_by_headers(paths, timeout_sec=0) == [None] * 5


def test_a_header_that_crashes_or_hangs_costs_no_other_its_count(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [record.path for record in bench.records if record.video_id in ("good1", "good3")]
    crash, hang = tmp_path / "crash.mp4", tmp_path / "hang.mp4"
    program = "tests.pipeline.label.poison_headers"
    paths = [crash, good[0], crash, good[1], crash]
    assert count_by_headers(paths, timeout_sec=60, program=program) == [None, 16, None, 40, None]
    assert not caplog.records
    paths = [good[0], hang, good[1]]
    assert count_by_headers(paths, timeout_sec=2, program=program) == [16, None, None]
    assert caplog.messages == ["2 of 3 headers of videos were not read in time; these videos' frames are guessed"]


def test_videos_without_any_header_are_counted_in_a_warning(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    (text,) = (record for record in bench.records if record.video_id == "text")
    assert expect_frames([text]) == [USUAL_FRAMES_PER_VIDEO]
    assert caplog.messages == ["no header tells the frames of 1 videos; shards are cut as if each had 300"]


def test_the_plan_keeps_its_shards_whatever_is_found_out_later(bench: Bench) -> None:
    sizes = {"train": [3, 5, 1], "val": [1, 1]}
    plan = Plan("mix", None, {"manifest": manifest_digest(bench.records)}, partition(bench.records, sizes))
    write_plan(bench.shards_dir, plan)
    # An older program would read a number here, and cut by it.
    assert json.loads((bench.shards_dir / PLAN_NAME).read_text())["videos_per_shard"] is None
    assert read_plan(bench.shards_dir, "mix", bench.records) == plan
    probed = [dataclasses.replace(record, num_frames=10**6) for record in bench.records]
    found = read_plan(bench.shards_dir, "mix", probed)
    assert found is not None and [len(shard.records) for shard in found.shards] == [3, 5, 1, 1, 1]


def test_a_plan_of_an_older_program_has_shards_of_one_size(bench: Bench) -> None:
    ingredients = {"manifest": manifest_digest(bench.records)}
    plan = Plan("mix", 4, ingredients, partition(bench.records, even_sizes(bench.records, 4)))
    write_plan(bench.shards_dir, plan)
    path = bench.shards_dir / PLAN_NAME
    content = json.loads(path.read_text())
    old = {name: value for name, value in content.items() if name != "shard_videos"}
    path.write_text(json.dumps(old))
    assert read_plan(bench.shards_dir, "mix", bench.records) == plan
    for wrong in ({**content, "shard_videos": {"train": [4, 4], "val": [3]}}, {**old, "videos_per_shard": None}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(PlanError, match="not a plan"):
            read_plan(bench.shards_dir, "mix", bench.records)
