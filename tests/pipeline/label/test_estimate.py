"""An estimate labels a fair sample, leaves the workspace alone, and forecasts what a full run then gives."""

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections import Counter

import pytest
from click.testing import CliRunner

from manifests import VideoRecord, write_manifest
from pipeline.cli import cli
from pipeline.errors import KinetError
from pipeline.label.sample import choose_sample
from pipeline.label.sample_folder import sample_folder
from pipeline.shards.receipts import read_all_receipts
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench
from tests.videos import moving_frames, write_video

TOYS = ["--batch-size", "8", "--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE, "--json"]


def estimate(bench: Bench, *options: str) -> dict:
    arguments = ["estimate", "--dataset", "mix", "--workspace", str(bench.workspace.root), *TOYS, *options]
    result = CliRunner().invoke(cli, arguments)
    if result.exception:
        raise result.exception
    return json.loads(result.stdout)


# How far a forecast may lie from a run on a machine that other tests share: wrong units are further. How good it is, on
# clocks that nobody else moves, is in test_estimate_bias.py.
SLACK = 20


def test_a_sample_of_everything_forecasts_the_run(bench: Bench) -> None:
    bench.teachers.human_path.write_text("0.05")
    found = estimate(bench, "--workers", "0", "--sample-videos", "1000")
    assert sorted(path.name for path in bench.workspace.root.iterdir()) == ["manifests", "teachers", "videos"]
    status = bench.label(videos_per_shard=None).status
    assert found["frames"]["estimate"] == status.frames == found["sample"]["frames"]
    assert found["sample"]["videos"] == found["videos"] == status.planned
    receipts = read_all_receipts(bench.shards_dir, [path.stem for path in bench.shards_dir.glob("*.h5")])
    stored = sum((bench.shards_dir / f"{name}{end}").stat().st_size for name in receipts for end in (".h5", ".json"))
    assert found["bytes"]["estimate"] == pytest.approx(stored, rel=0.15)
    taken_sec = sum(done.seconds for done in receipts.values())
    assert 1 / SLACK < found["hours"]["estimate"] * 3600 / taken_sec < SLACK
    assert found["sample"]["time_was_up"] is False
    assert found["hours"]["low"] <= found["hours"]["estimate"] <= found["hours"]["high"]
    assert found["cpu_hours"]["estimate"] >= found["hours"]["estimate"]
    assert found["bottleneck"]["stage"] in ("decode_wait", "decode_alone", "teachers", "write", "balanced")


def test_probed_frame_counts_are_used(bench: Bench) -> None:
    probed = [dataclasses.replace(record, num_frames=1000) for record in bench.records]
    write_manifest(bench.workspace.manifest_path("mix"), probed)
    found = estimate(bench, "--workers", "0", "--sample-videos", "8")
    assert found["unprobed_videos"] == 0
    assert found["frames"] == {"estimate": 1000 * len(probed), "low": 1000 * len(probed), "high": 1000 * len(probed)}
    assert found["too_high"] == "8 videos are too few to tell a shard's own cost from its frames', and there are 11"


def test_time_that_is_up_ends_the_sample_within_a_video_and_the_forecast_holds(bench: Bench) -> None:
    """A batch of 0.1 s, 60 in a long video: the sample ends in the first, and yet tells what both take."""
    bench.teachers.human_path.write_text("0.1")
    folder = bench.workspace.root / "videos"
    paths = [write_video(folder / f"long{number}.mp4", moving_frames(480)) for number in range(2)]
    # One to warm up with.
    paths.append(folder / "good0.mp4")
    bench.records = [VideoRecord(path.stem, path, "train", 0, "c") for path in paths]
    write_manifest(bench.workspace.manifest_path("mix"), bench.records)
    found = estimate(bench, "--workers", "0", "--sample-sec", "4")
    sample = found["sample"]
    assert sample["videos"] <= 1 and sample["groups"] <= 2 and sample["time_was_up"]
    assert 0 < sample["frames"] < 485
    assert found["hours"]["low"] is None and found["frames"]["estimate"] == 2 * 480 + 5
    bench.label(videos_per_shard=None)
    receipts = read_all_receipts(bench.shards_dir, [path.stem for path in bench.shards_dir.glob("*.h5")])
    taken_sec = sum(done.seconds for done in receipts.values())
    assert 1 / SLACK < found["hours"]["estimate"] * 3600 / taken_sec < SLACK
    stored = sum((bench.shards_dir / f"{name}{end}").stat().st_size for name in receipts for end in (".h5", ".json"))
    assert found["bytes"]["estimate"] == pytest.approx(stored, rel=0.5)


@pytest.mark.ray
def test_time_that_is_up_ends_the_sample_on_ray(bench: Bench) -> None:
    bench.teachers.human_path.write_text("0.5")
    (good,) = (record for record in bench.records if record.video_id == "good3")
    records = [dataclasses.replace(good, video_id=str(number)) for number in range(24)]
    write_manifest(bench.workspace.manifest_path("mix"), records)
    found = estimate(bench, "--workers", "1", "--sample-sec", "2")
    sample = found["sample"]
    assert sample["time_was_up"] and 0 < sample["frames"] < 24 * 40
    # Five batches a video.
    assert found["frames"]["estimate"] == 24 * 40
    assert 24 * 5 * 0.5 / SLACK < found["hours"]["estimate"] * 3600 < 24 * 5 * 0.5 * SLACK


def test_a_sample_too_small_to_tell_a_shards_own_cost_says_so(bench: Bench) -> None:
    good = next(record for record in bench.records if record.video_id == "good2")
    records = [dataclasses.replace(good, video_id=str(number)) for number in range(24)]
    write_manifest(bench.workspace.manifest_path("mix"), records)
    sample = ["--workers", "0", "--sample-videos"]
    found = estimate(bench, *sample, "4")
    (enough,) = re.findall(r"^4 videos are too few .*; give --sample-videos (\d+)$", found["too_high"])
    found = estimate(bench, *sample, enough)
    assert found["too_high"] is None and found["sample"]["groups"] == 8
    found = estimate(bench, *sample, enough, "--sample-sec", "0.001")
    # Where a single video was labelled before, nothing is lacking.
    assert found["too_high"] is None or "time was up" in found["too_high"]


def test_a_sample_without_labels_is_one_clear_line(bench: Bench) -> None:
    bad = [record for record in bench.records if record.video_id in ("text", "empty", "sound")]
    write_manifest(bench.workspace.manifest_path("mix"), bad)
    with pytest.raises(KinetError, match="not one frame of 3 sampled videos could be labelled; run kinet-pipeline man"):
        estimate(bench, "--workers", "0")
    with pytest.raises(KinetError, match="no video in split 'nowhere'; its manifest has"):
        estimate(bench, "--workers", "0", "--split", "nowhere")


@pytest.mark.ray
def test_on_ray_every_worker_takes_part(bench: Bench) -> None:
    found = estimate(bench, "--workers", "2", "--sample-videos", "1000")
    assert found["workers"] == 2 and found["sample"]["videos"] == len(bench.records)
    assert found["frames"]["estimate"] == found["sample"]["frames"]


def test_the_sample_is_seeded_and_has_every_split(bench: Bench) -> None:
    like = bench.records[0]
    records: list[VideoRecord] = [
        dataclasses.replace(like, video_id=str(i), split="val" if i % 10 == 0 else "test" if i == 5 else "train")
        for i in range(1000)
    ]
    chosen = choose_sample(records, 50, seed=4)
    assert chosen == choose_sample(records, 50, seed=4) != choose_sample(records, 50, seed=5)
    assert len({record.video_id for record in chosen}) == len(chosen) == 51
    counts = Counter(record.split for record in chosen)
    assert counts["val"] == 5 and counts["test"] == 1
    assert {record.split for record in choose_sample(records, 1, seed=0)} == {"train", "val", "test"}


START = """
import sys
from pipeline.cli import main
main(sys.argv[1:])
"""


def start_estimate(bench: Bench) -> subprocess.Popen[str]:
    """Start an estimate whose first batch lasts a minute, and wait for its folder."""
    bench.teachers.human_path.write_text("60")
    options = ["--dataset", "mix", "--workspace", str(bench.workspace.root), "--workers", "0", *TOYS]
    process = subprocess.Popen([sys.executable, "-c", START, "estimate", *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(bench.workspace.root.glob(".estimate-*/.lock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def test_sigterm_while_the_workers_start_leaves_nothing_and_says_so(bench: Bench) -> None:
    process = start_estimate(bench)
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "interrupted by SIGTERM; nothing was changed" in stderr
    assert list(bench.workspace.root.glob(".estimate-*")) == []


def test_what_a_killed_estimate_left_is_swept_but_not_a_running_ones(bench: Bench) -> None:
    killed = start_estimate(bench)
    killed.kill()
    killed.communicate(timeout=60)
    (left,) = bench.workspace.root.glob(".estimate-*")
    with sample_folder(bench.workspace.root) as held:
        assert not left.exists()
        with sample_folder(bench.workspace.root):
            assert held.exists()
    assert list(bench.workspace.root.glob(".estimate-*")) == []
