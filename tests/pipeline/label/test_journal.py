"""What a journal says of the videos that workers died with: the cause is found, and nobody else is blamed."""

import random
from pathlib import Path

import pytest

from pipeline.errors import PredictionError, Reason, WorkspaceError
from pipeline.label.journal import (
    IN_PROCESS,
    MAX_DEATHS,
    MAX_DEATHS_ANYWHERE,
    Condemned,
    JournalHistory,
    ShardJournal,
    excuse_attempt,
    note_hang,
    read_history,
)


def die(journal: ShardJournal) -> None:
    """End an attempt as a death does: without a word."""
    del journal


def attempt(path: Path, videos: list[str], kills: dict[str, int], run: str = "run", batch: int = 3) -> bool:
    """Label a shard in batches of videos, dying where a video kills; say whether it was done."""
    journal = ShardJournal(path, run)
    history = journal.history
    for group in batches_of([name for name in videos if name not in history.condemned], history, batch):
        alone = len(group) == 1 and group[0] in history.suspects
        journal.note(group, alone=alone, frames=0)
        for name in group:
            if name in kills:
                journal.note(group, alone=alone, frames=kills[name] if alone else 0)
                die(journal)
                return False
    path.unlink()
    return True


def batches_of(videos: list[str], history: JournalHistory, batch: int) -> list[list[str]]:
    groups: list[list[str]] = []
    for name in videos:
        if name in history.suspects or not groups or len(groups[-1]) == batch or groups[-1][0] in history.suspects:
            groups.append([])
        groups[-1].append(name)
    return groups


@pytest.mark.parametrize("seed", range(10))
def test_exactly_the_videos_that_kill_are_condemned(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    videos = [f"v{i}" for i in range(12)]
    kills = {name: generator.randrange(5) for name in generator.sample(videos, generator.randrange(4))}
    path = tmp_path / "s.journal"
    deaths, condemned = 0, {}
    while not attempt(path, videos, kills):
        deaths += 1
        condemned = read_history(path, "run").condemned
        assert condemned.keys() <= kills.keys()
    assert condemned.keys() == kills.keys()
    assert deaths <= MAX_DEATHS * len(kills)
    assert not path.exists()


def test_one_poison_costs_three_workers(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(MAX_DEATHS):
        assert not attempt(path, ["a", "b", "c"], {"b": 2})
    history = read_history(path, "run")
    assert history.suspects == {"c"} and history.condemned.keys() == {"b"} and history.num_explained == 3
    assert history.condemned["b"] == Condemned(3, Reason.CRASHED, "a worker died labelling it, in each of 3 attempts")
    assert attempt(path, ["a", "b", "c"], {"b": 2})


def test_deaths_at_other_frames_each_time_take_more_of_them(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for frames in range(MAX_DEATHS_ANYWHERE):
        assert not attempt(path, ["a"], {"a": frames})
        assert read_history(path, "run").suspects == {"a"}
    assert not attempt(path, ["a"], {"a": 100})
    history = read_history(path, "run")
    assert history.condemned["a"].attempts == history.num_explained == MAX_DEATHS_ANYWHERE


def test_in_one_process_only_deaths_at_the_same_frame_condemn(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for frames in range(3 * MAX_DEATHS_ANYWHERE):
        assert not attempt(path, ["a"], {"a": frames}, run=IN_PROCESS)
    assert read_history(path, IN_PROCESS).suspects == {"a"}
    for _ in range(MAX_DEATHS):
        assert not attempt(path, ["a"], {"a": 7}, run=IN_PROCESS)
    assert read_history(path, IN_PROCESS).condemned["a"].attempts == MAX_DEATHS


def test_a_lost_machine_blames_nobody_when_the_driver_says_so(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(10):
        assert not attempt(path, ["a"], {"a": 0})
        # The line that the dying worker left half written stands in nobody's way.
        path.write_bytes(path.read_bytes() + b'{"in_ha')
        excuse_attempt(path)
    assert read_history(path, "run") == JournalHistory(ended=True)


def test_a_hang_condemns_with_its_own_reason(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(MAX_DEATHS):
        assert not attempt(path, ["a", "b", "c"], {"b": 2})
        note_hang(path, 900.4)
    verdict = read_history(path, "run").condemned["b"]
    assert verdict == Condemned(3, Reason.TIMEOUT, "a teacher, or flow, gave nothing for 900 s, in each of 3 attempts")


def test_an_error_of_a_teacher_counts_as_a_death_does(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(MAX_DEATHS):
        with pytest.raises(PredictionError, match="ValueError: no") as caught, ShardJournal(path, "run") as journal:
            journal.note(["a"], alone="a" in journal.history.suspects)
            raise ValueError("no")
        assert caught.value.with_videos
    verdict = read_history(path, "run").condemned["a"]
    assert verdict == Condemned(3, Reason.TEACHER_FAILED, "ValueError: no, in each of 3 attempts")


def test_a_fault_of_the_environment_is_no_death(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for error in (WorkspaceError("full"), OSError("gone")):
        with pytest.raises(type(error)), ShardJournal(path, "run") as journal:
            journal.note(["a"])
            raise error
    assert read_history(path, "run") == JournalHistory(ended=True)


def test_the_death_of_the_driver_blames_nobody(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for number in range(10):
        assert not attempt(path, ["a", "b"], {"a": 0}, run=f"run {number}")
    assert read_history(path, "run 10") == JournalHistory(frozenset({"a", "b"}), {})


def test_an_exception_is_no_death(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt), ShardJournal(path, "run") as journal:
            journal.note(["a", "b"])
            raise KeyboardInterrupt
    assert read_history(path, "run") == JournalHistory(ended=True)


def test_a_torn_line_and_an_empty_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    attempt(path, ["a", "b"], {"a": 0})
    path.write_bytes(path.read_bytes() + b'{"in_ha')
    assert read_history(path, "run").suspects == {"a", "b"}
    path.write_bytes(b"")
    assert read_history(path, "run") == JournalHistory()
