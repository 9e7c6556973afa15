"""Whether a video is whole does not depend on how fast or how well the machine is that counts it again."""

import functools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import WorkspaceError
from pipeline.video import probe_video
from pipeline.video.second_opinion import NoCount, Patience, SecondCount, count_with_decord
from tests.pipeline.video.numbered import numbered_frames
from tests.processes import descendants
from tests.videos import write_video

ODD = Path(__file__).with_name("odd_decord.py")
REPOSITORY = Path(__file__).parents[3]


def ask(path: Path, patience: Patience | None = None, **program: Path) -> tuple[SecondCount | NoCount, int]:
    """Return what the second decoder says, and how often it was said to be still at work."""
    counting, num_beats = count_with_decord(path, patience, **program), 0
    while True:
        try:
            next(counting)
        except StopIteration as ended:
            return ended.value, num_beats
        num_beats += 1


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")]))
    return monkeypatch


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    options = {"bf": "2", "x264-params": "log-level=none"}
    return write_video(tmp_path / "whole.mp4", numbered_frames(range(60)), options=options)


def test_decord_is_heard_without_its_repeated_tail(whole: Path) -> None:
    assert ask(whole)[0] == SecondCount(60, 60)
    text = whole.with_name("text.mp4")
    text.write_text("not a video")
    found, _ = ask(text)
    assert isinstance(found, NoCount) and found.known and "cannot read the video" in found.message


def test_a_slow_count_is_a_count(whole: Path, odd: pytest.MonkeyPatch) -> None:
    odd.setenv("ODD_DECORD", "slow")
    found, num_beats = ask(whole, Patience(stall_sec=3), program=ODD)
    assert found == SecondCount(60, 60) and num_beats >= 4


@pytest.mark.parametrize("harm", ["stop once", "kill once"])
def test_what_befalls_the_second_decoder_once_decides_nothing(whole: Path, odd: pytest.MonkeyPatch, harm: str) -> None:
    odd.setenv("ODD_DECORD", harm)
    assert ask(whole, Patience(stall_sec=2), program=ODD)[0] == SecondCount(60, 60)


def test_no_answer_is_told_apart_from_a_no(whole: Path, odd: pytest.MonkeyPatch) -> None:
    odd.setenv("ODD_DECORD", "stop")
    found, _ = ask(whole, Patience(stall_sec=0.1), program=ODD)
    assert isinstance(found, NoCount) and not found.known and "gave nothing for 0.1 s" in found.message


def test_a_second_decoder_that_does_not_start_is_no_videos_doing(whole: Path, odd: pytest.MonkeyPatch) -> None:
    odd.setenv("ODD_DECORD", "absent")
    with pytest.raises(WorkspaceError, match="import decord"):
        ask(whole, program=ODD)


def test_a_hanging_second_decoder_does_not_outlive_who_asks(whole: Path, odd: pytest.MonkeyPatch) -> None:
    odd.setenv("ODD_DECORD", "stop")
    program = (
        "from pathlib import Path\n"
        "from pipeline.video.second_opinion import count_with_decord\n"
        f"list(count_with_decord(Path({str(whole)!r}), program=Path({str(ODD)!r})))\n"
    )
    deadline = time.monotonic() + 60
    with subprocess.Popen([sys.executable, "-c", program]) as asking:
        while not (whole.with_suffix(".met").exists() and (found := list(descendants(asking.pid)))):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        asking.kill()
    while any(Path(f"/proc/{pid}").exists() for pid in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_unanswered_question_is_a_reason_of_its_own(whole: Path, odd: pytest.MonkeyPatch) -> None:
    content = bytearray(whole.read_bytes())
    place = content.find(b"elst") + 12
    content[place : place + 4] = (int.from_bytes(content[place : place + 4], "big") // 2).to_bytes(4, "big")
    whole.write_bytes(content)
    probe = probe_video(whole)
    assert probe.complete and "bears the decode out" in str(probe.message)
    odd.setenv("ODD_DECORD", "stop")
    ask_odd = functools.partial(count_with_decord, patience=Patience(stall_sec=0.1), program=ODD)
    odd.setattr("pipeline.video.decoding.count_with_decord", ask_odd)
    probe = probe_video(whole)
    assert probe.reason == "count_unknown" and "which is right is not known" in str(probe.message)
