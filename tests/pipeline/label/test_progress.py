"""Progress lines: one an interval, each with every figure; none where none are wanted."""

import io

import pytest

from pipeline.label.progress import LabelProgress, ProgressDisplay, ProgressSettings, show_progress


def test_a_line_an_interval_with_every_figure() -> None:
    now = [0.0]
    lines = io.StringIO()
    display = ProgressDisplay("label mix", "videos", line_stream=lines, every_sec=10, clock=lambda: now[0])
    display.update(LabelProgress(100, 1000, 2, 0))
    for second in range(1, 31):
        now[0] = float(second)
        display.update(LabelProgress(100 + second, 1000, 2, 50 * second))
    assert lines.getvalue().splitlines() == [
        "label mix: 110/1000 videos, 50.0 frames/s, 2 quarantined, ETA 14.8 min",
        "label mix: 120/1000 videos, 50.0 frames/s, 2 quarantined, ETA 14.7 min",
        "label mix: 130/1000 videos, 50.0 frames/s, 2 quarantined, ETA 14.5 min",
    ]


def test_the_time_left_is_unknown_until_something_is_settled() -> None:
    now = [0.0]
    lines = io.StringIO()
    display = ProgressDisplay("verify mix", "shards", line_stream=lines, every_sec=1, clock=lambda: now[0])
    for second, done in enumerate([0, 0, 1]):
        now[0] = 3600.0 * second
        display.show(done, 4)
    assert lines.getvalue().splitlines() == [
        "verify mix: 0/4 shards, ETA unknown",
        "verify mix: 1/4 shards, ETA 6.0 h",
    ]


@pytest.mark.parametrize(("mode", "shown"), [("auto", True), ("lines", True), ("bar", True), ("none", False)])
def test_the_mode_decides(mode, shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress("label mix", "videos", ProgressSettings(mode, every_sec=1e-9)) as display:
        display.update(LabelProgress(3, 7, 1, 5))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("3/7" in captured.err and "1 quarantined" in captured.err) is shown


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="every_sec"):
        ProgressSettings(every_sec=0)
