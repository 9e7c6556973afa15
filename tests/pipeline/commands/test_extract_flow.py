"""`extract-flow`, and `status`, `verify` and `retry` with `--flow`, as a user calls them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from manifests import VideoRecord, write_manifest
from pipeline.cli import main
from pipeline.flow.coding import decode, encode, quantise
from pipeline.flow.methods import compute_flow
from pipeline.shards import LabelIndex, open_shard
from pipeline.video import hash_frames, read_frames
from pipeline.workspace import Workspace
from tests.videos import moving_frames, write_video

LENGTHS = (12, 1, 30, 17, 21, 9)


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Call the command line; return exit code, stdout and stderr."""
    code = 0
    try:
        main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def write_videos(root: Path) -> list[VideoRecord]:
    """Make a data set called ``mix`` of good videos, and one that is none."""
    records = []
    for number, length in enumerate(LENGTHS):
        path = write_video(root / "videos" / f"v{number}.mp4", moving_frames(length, seed=number))
        records.append(VideoRecord(f"v{number}", path, "train", 0, "class"))
    text = root / "videos" / "text.mp4"
    text.write_text("no video " * 50)
    records.insert(2, VideoRecord("text", text, "train", 0, "class"))
    write_manifest(Workspace(root).manifest_path("mix"), records)
    return records


def extract_arguments(root: Path) -> list[str]:
    """Return the arguments of a run in this process with shards of three videos."""
    place = ["--workspace", str(root), "--dataset", "mix"]
    return ["extract-flow", *place, "--method", "dis", "--workers", "0", "--videos-per-shard", "3"]


def shard_bytes(root: Path) -> dict[str, bytes]:
    """Return every committed shard's content."""
    return {path.name: path.read_bytes() for path in sorted(Workspace(root).flow_shards_dir("mix").glob("*.h5"))}


def test_shards_hold_the_flow_of_every_frame(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = write_videos(tmp_path)
    code, out, err = run([*extract_arguments(tmp_path), "--json"], capsys)
    assert code == 0, err
    result = json.loads(out)
    assert (result["planned"], result["ok"], result["quarantined"]) == (7, 6, 1)
    assert result["frames"] == sum(LENGTHS)

    index = LabelIndex(Workspace(tmp_path).flow_shards_dir("mix"))
    record = next(record for record in records if record.video_id == "v3")
    frames = read_frames(record.path, range(17))
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    stored = index.read("v3", [16, 2, 2, 15])
    assert stored.flows is not None
    assert np.array_equal(stored.frame_hashes, hash_frames(frames)[[16, 2, 2, 15]])
    expected = encode(quantise(compute_flow("dis", gray[2], gray[3])), 90)
    assert stored.flows[1] == stored.flows[2] == expected
    assert stored.flows[0] == stored.flows[3] == encode(quantise(compute_flow("dis", gray[15], gray[16])), 90)
    assert decode(stored.flows[0]).shape == (2, 256, 340)


def test_status_verify_and_retry_know_the_flow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = write_videos(tmp_path)
    place = ["--workspace", str(tmp_path), "--dataset", "mix", "--flow"]
    code, _, err = run(["status", *place], capsys)
    assert code == 1 and "kinet-pipeline extract-flow --dataset mix" in err
    code, out, _ = run(extract_arguments(tmp_path), capsys)
    assert code == 0 and f"{sum(LENGTHS)} frames of flow" in out and "labelled" not in out
    assert json.loads(run(["status", *place, "--json"], capsys)[1])["ok"] == 6
    assert f"{sum(LENGTHS)} frames of flow" in run(["status", *place], capsys)[1]
    assert json.loads(run(["verify", *place, "--jobs", "1", "--json"], capsys)[1])["ok"]
    whole = shard_bytes(tmp_path)

    name = sorted(whole)[1]
    path = Workspace(tmp_path).flow_shards_dir("mix") / name
    damaged = bytearray(whole[name])
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    code, _, err = run(["verify", *place, "--jobs", "1"], capsys)
    assert code == 1 and "verify --repair --dataset mix --flow" in err
    assert run(["verify", *place, "--jobs", "1", "--repair", "--workers", "0"], capsys)[0] == 0
    assert shard_bytes(tmp_path) == whole

    mended = next(record for record in records if record.video_id == "text")
    write_video(mended.path, moving_frames(8, seed=9))
    code, out, _ = run(["retry", *place, "--workers", "0"], capsys)
    assert code == 0 and "1 videos tried again, " in out and out.count("frames of flow") == 2 and "labelled" not in out
    assert json.loads(run(["status", *place, "--json"], capsys)[1])["ok"] == 7
    assert json.loads(run(["verify", *place, "--jobs", "1", "--json"], capsys)[1])["ok"]
    with open_shard(path.parent / "train-00000-of-00003.h5") as shard:
        assert shard.video_ids == ("v0", "v1", "text") and shard.teachers == () and shard.has_flow


def test_a_data_set_named_flow_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_manifest(Workspace(tmp_path).manifest_path("flow"), write_videos(tmp_path))
    code, _, err = run(["status", "--workspace", str(tmp_path), "--dataset", "flow"], capsys)
    assert code == 1 and "labelling of flow has not begun; run kinet-pipeline label --dataset flow" in err


def test_flow_is_not_taken_for_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_videos(tmp_path)
    assert run(extract_arguments(tmp_path), capsys)[0] == 0
    code, _, err = run(["status", "--workspace", str(tmp_path), "--dataset", "mix"], capsys)
    assert code == 1 and "labelling of mix has not begun" in err


def test_another_method_is_refused_and_both_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_videos(tmp_path)
    assert run(extract_arguments(tmp_path), capsys)[0] == 0
    other = [argument.replace("dis", "tvl1-fast") for argument in extract_arguments(tmp_path)]
    code, _, err = run(other, capsys)
    assert code == 1 and "dis jpeg 90" in err and "tvl1-fast jpeg 90" in err
    assert "the flow in " in err and "go on with the --method, --quality" in err and "label" not in err


def test_options_that_contradict_each_other_are_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--workspace", str(tmp_path), "--dataset", "mix", "--flow"]
    assert run(["status", *place, "--teachers", "scene"], capsys)[0] == 2
    assert run(["verify", *place, "--sample", "3"], capsys)[0] == 2
    write_videos(tmp_path)
    for command in ("verify", "retry"):
        # A value that is the default is refused too: it was asked for.
        code, _, err = run([command, *place, "--mask-median", "5", "--precision", "auto"], capsys)
        assert code == 2 and "--flow and --precision, --mask-median: flow has no teachers" in err


def test_a_killed_run_goes_on_to_identical_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("whole", "killed"):
        write_videos(tmp_path / name)
    assert run(extract_arguments(tmp_path / "whole"), capsys)[0] == 0

    root = tmp_path / "killed"
    program = [sys.executable, "-m", "pipeline.cli", *extract_arguments(root)]
    project = Path(__file__).parents[3]
    driver = subprocess.Popen(
        program, env={**os.environ, "PYTHONPATH": str(project)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    shards_dir = Workspace(root).flow_shards_dir("mix")
    while driver.poll() is None and not list(shards_dir.glob("train-*.json")):
        time.sleep(0.002)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert 0 < len(list(shards_dir.glob("train-*.json"))) < 3
    assert run(extract_arguments(root), capsys)[0] == 0
    assert shard_bytes(root) == shard_bytes(tmp_path / "whole")


def test_an_estimate_is_of_the_flow_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_videos(tmp_path)
    place = ["--workspace", str(tmp_path), "--dataset", "mix"]
    forecast = ["estimate", *place, "--flow", "--method", "dis", "--workers", "0", "--sample-videos", "7", "--json"]
    code, out, err = run(forecast, capsys)
    assert code == 0, err
    found = json.loads(out)
    assert found["frames"]["estimate"] == found["sample"]["frames"] == sum(LENGTHS)
    assert not Workspace(tmp_path).flow_shards_dir("mix").exists()

    assert run([*extract_arguments(tmp_path), "--json"], capsys)[0] == 0
    stored = sum(map(len, shard_bytes(tmp_path).values()))
    assert found["bytes"]["estimate"] == pytest.approx(stored, rel=0.35)

    for options, message in (
        (["--method", "dis"], "--method is of optical flow; give --flow too"),
        (["--flow", "--teachers", "human"], "--flow and --teachers: flow has no teachers"),
    ):
        code, _, err = run(["estimate", *place, *options], capsys)
        assert code == 2
        assert message in err
