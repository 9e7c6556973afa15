"""Every step stands in the metrics once, whatever was cut short; progress is readable without a terminal."""

from pathlib import Path

import pytest

from pipeline.training.faults import FAULTS_FILE, FaultLog
from pipeline.training.runlog import METRICS_FILE, MetricsLog, RunProgress, read_metrics


def test_a_resumed_run_takes_back_what_came_after_its_checkpoint(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        for step in (1, 2, 3):
            log.write(step, {"loss": step / 2})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 4, "lo')
    with MetricsLog(tmp_path, start_step=2) as log:
        log.write(3, {"loss": 9.0})
    assert read_metrics(tmp_path) == [
        {"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0}, {"step": 3, "loss": 9.0},
    ]  # fmt: skip


def test_without_a_terminal_a_line_now_and_then_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress("train", total=10, line_every=4) as progress:
        for step in range(1, 11):
            progress.update(step, "loss 1.0")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"train: {step}/10 steps loss 1.0" for step in (4, 8, 10)]


@pytest.mark.parametrize("with_file", [True, False])
def test_only_the_first_faults_are_named_in_the_log(
    with_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = FaultLog(tmp_path if with_file else None, max_named=3)
    for number in [*range(8), *range(8)]:
        faults.note(f"image {number}", "unreadable", "text")
    assert faults.counts == {"unreadable": 8}
    assert [record.getMessage().split(":")[0] for record in caplog.records[:3]] == ["image 0", "image 1", "image 2"]
    assert len(caplog.records) == 4
    path = tmp_path / FAULTS_FILE
    assert (len(path.read_text().splitlines()) if path.exists() else 0) == (8 if with_file else 0)


def test_faults_are_counted_once(tmp_path: Path) -> None:
    faults = FaultLog(tmp_path)
    faults.note("a", "missing", "gone")
    faults.note("a", "missing", "gone")
    faults.note("b", "missing", "gone")
    assert faults.counts == {"missing": 2}
    again = FaultLog(tmp_path)
    again.note("a", "missing", "gone")
    again.note("a", "unreadable", "text")
    assert again.counts == {"missing": 2, "unreadable": 1}
