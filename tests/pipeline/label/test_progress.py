"""Progress lines: one an interval whatever the run does, each with the time and every figure; none where not wanted."""

import os
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime

import pytest

from pipeline.label.progress import LabelProgress, ProgressDisplay, ProgressSettings, show_progress
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench
from tests.pipeline.label.toy_teachers import HARM_VARIABLE

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


def fixed_display(title: str, unit: str, now: list[float]) -> ProgressDisplay:
    noon = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
    return ProgressDisplay(title, unit, clock=lambda: now[0], time_of_day=lambda: noon)


def test_a_line_has_the_time_and_every_figure_as_they_are_when_it_is_written() -> None:
    now = [0.0]
    display = fixed_display("label mix", "videos", now)
    assert display.line() == "2026-01-31T12:00:05+00:00 label mix: starting"
    display.update(LabelProgress(100, 1000, 2, 0))
    display.update(LabelProgress(110, 1000, 2, 500))
    for seconds, figures in ((10.0, "50.0 frames/s, 2 quarantined, ETA 14.8 min"), (20.0, "25.0 frames/s, 2")):
        now[0] = seconds
        assert display.line().startswith(f"2026-01-31T12:00:05+00:00 label mix: 110/1000 videos, {figures}")


def test_the_time_left_is_unknown_until_something_is_settled() -> None:
    now = [0.0]
    display = fixed_display("verify mix", "shards", now)
    for second, done, left in ((1, 0, "ETA unknown"), (2, 1, "ETA 6.0 h")):
        now[0] = 3600.0 * second
        display.show(done, 4)
        assert display.line().endswith(f"verify mix: {done}/4 shards, {left}")


@pytest.mark.parametrize(("mode", "shown"), [("auto", True), ("lines", True), ("bar", True), ("none", False)])
def test_the_mode_decides(mode, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    err, deadline = "", time.monotonic() + (20 if mode in ("auto", "lines") else 0.1)
    with show_progress("label mix", "videos", ProgressSettings(mode, every_sec=0.01)) as display:
        display.update(LabelProgress(3, 7, 1, 5))
        while "3/7" not in err and time.monotonic() < deadline:
            err += capsys.readouterr().err
            time.sleep(0.01)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("3/7" in err + captured.err and "1 quarantined" in err + captured.err) is shown


def test_lines_come_while_a_batch_is_in_hand_and_while_the_worker_starts(bench: Bench) -> None:
    """A batch of an hour, in the command's own process: not one frame is ever labelled."""
    bench.whiten("good0")
    options = ["--dataset", "mix", "--workspace", str(bench.workspace.root), "--workers", "0", "--batch-size", "8"]
    toys = ["--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE, "--videos-per-shard", "3"]
    lines = ["--progress", "lines", "--progress-every", "0.1"]
    command = [sys.executable, "-m", "pipeline.cli", "label", *options, *toys, *lines]
    seen = []
    env = {**os.environ, HARM_VARIABLE: "hang"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:
        ender = threading.Timer(60, process.kill)
        ender.start()
        assert process.stderr is not None
        for line in process.stderr:
            seen.append(line.rstrip())
            if sum("0/11 videos" in text for text in seen) == 30:
                break
        ender.cancel()
        process.kill()
    assert re.fullmatch(rf"{STAMP} label mix: starting", seen[0]), seen
    assert re.fullmatch(rf"{STAMP} label mix: 0/11 videos, 0.0 frames/s, 0 quarantined, ETA unknown", seen[-1]), seen


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every_sec"):
        ProgressSettings(every_sec=0)
