"""What a journal says of the videos that workers died with: the cause is found, and nobody else is blamed."""

import random
from pathlib import Path

import pytest

from pipeline.errors import PredictionError, Reason, WorkspaceError
from pipeline.label.blame import IN_PROCESS, MAX_DEATHS, MAX_DEATHS_ANYWHERE, Condemned, JournalHistory
from pipeline.label.journal import ShardJournal, excuse_attempt, fold_copy, forget_journals, note_hang, read_history

# Of all attempts here: what a driver says is then of the last one.
ATTEMPT = "attempt"


def die(journal: ShardJournal) -> None:
    """End an attempt as a death does: without a word."""
    del journal


def attempt(
    path: Path,
    videos: list[str],
    kills: dict[str, int],
    run: str = "run",
    batch: int = 3,
    kept: set[str] | None = None,
    capacity: int | None = None,
) -> bool:
    """Label a shard in a fresh process, dying where a video kills; say whether it was done.

    In batches of videos first; one by one, suspects first, once there are any: what is done then is `kept`. With a
    `capacity` the process dies of its so many-th video, whichever that is.
    """
    journal = ShardJournal(path, run, ATTEMPT)
    history = journal.history
    kept = set() if kept is None else kept
    left = [name for name in videos if name not in history.condemned and name not in kept]
    groups = [left[i : i + batch] for i in range(0, len(left), batch)]
    if history.suspects:
        last = [name for name in reversed(left) if name in history.suspects]
        groups = [[name] for name in [*last, *(name for name in left if name not in history.suspects)]]
    seen = 0
    for group in groups:
        alone = bool(history.suspects)
        journal.note(group, alone=alone, frames=0)
        for name in group:
            seen += 1
            if name in kills or seen == capacity:
                journal.note(group, alone=alone, frames=kills.get(name, 0) if alone else 0)
                die(journal)
                return False
        journal.note(())
        if alone:
            kept.update(group)
    path.unlink()
    return True


@pytest.mark.parametrize("seed", range(10))
def test_exactly_the_videos_that_kill_are_condemned(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    videos = [f"v{i}" for i in range(12)]
    kills = {name: generator.randrange(5) for name in generator.sample(videos, generator.randrange(4))}
    path = tmp_path / "s.journal"
    deaths, condemned = 0, {}
    kept: set[str] = set()
    while not attempt(path, videos, kills, kept=kept):
        deaths += 1
        condemned = read_history(path, "run").condemned
        assert condemned.keys() <= kills.keys()
    assert condemned.keys() == kills.keys()
    # One among others, one alone after others, and those that tell.
    assert deaths <= (2 + MAX_DEATHS) * len(kills)
    assert not path.exists()


def test_one_poison_is_condemned_by_three_deaths_alone_in_a_fresh_process(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    kept: set[str] = set()
    # One among others, one after its neighbour.
    for _ in range(2 + MAX_DEATHS):
        assert not read_history(path, "run").condemned
        assert not attempt(path, ["a", "b", "c"], {"b": 2}, kept=kept)
    history = read_history(path, "run")
    assert history.suspects == {"a"} and history.condemned.keys() == {"b"} and history.num_explained == 5
    assert history.condemned["b"] == Condemned(3, Reason.CRASHED, "a worker died labelling it, in each of 3 attempts")
    assert attempt(path, ["a", "b", "c"], {"b": 2}, kept=kept)


@pytest.mark.parametrize("capacity", [2, 3, 5, 7])
def test_a_leak_condemns_nobody_and_comes_to_an_end(tmp_path: Path, capacity: int) -> None:
    path = tmp_path / "s.journal"
    videos, kept, deaths = [f"v{i}" for i in range(24)], set[str](), 0
    while not attempt(path, videos, {}, kept=kept, capacity=capacity):
        deaths += 1
        history = read_history(path, "run")
        assert not history.condemned
        # But the first, which came while several were in hand.
        assert history.num_explained == deaths - 1
    assert deaths <= 1 + 24 / (capacity - 1)


def test_deaths_in_a_used_process_tell_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(3 * MAX_DEATHS_ANYWHERE):
        journal = ShardJournal(path, "run", is_fresh=False)
        journal.note(["a"], alone=True, frames=3)
        die(journal)
    assert read_history(path, "run").suspects == {"a"}


def test_deaths_at_other_frames_each_time_take_more_of_them(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for frames in range(MAX_DEATHS_ANYWHERE):
        assert not attempt(path, ["a"], {"a": frames})
        assert read_history(path, "run").suspects == {"a"}
    assert not attempt(path, ["a"], {"a": 100})
    history = read_history(path, "run")
    assert history.condemned["a"].attempts == history.num_explained - 1 == MAX_DEATHS_ANYWHERE


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
        excuse_attempt(path, ATTEMPT)
    assert read_history(path, "run") == JournalHistory(ended=True)


def test_a_hang_condemns_with_its_own_reason(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    kept: set[str] = set()
    for _ in range(2 + MAX_DEATHS):
        assert not attempt(path, ["a", "b", "c"], {"b": 2}, kept=kept)
        note_hang(path, ATTEMPT, 900.4)
    verdict = read_history(path, "run").condemned["b"]
    assert verdict == Condemned(3, Reason.TIMEOUT, "a teacher, or flow, gave nothing for 900 s, in each of 3 attempts")


def test_an_error_of_a_teacher_counts_as_a_death_does(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    for _ in range(1 + MAX_DEATHS):
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
    """What it happened to once goes on as before; what it happens to again is labelled alone, and not condemned."""
    path = tmp_path / "s.journal"
    for number in range(10):
        history = read_history(path, f"run {number}")
        assert history.suspects == ({"a", "b"} if number == 2 else {"a"} if number > 2 else set())
        assert not attempt(path, ["a", "b"], {"a": 0}, run=f"run {number}")
    history = read_history(path, "run 10")
    assert history.suspects == {"a"} and not history.condemned and history.num_explained == 0


def test_a_driver_speaks_of_the_attempt_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "s.journal"
    journal = ShardJournal(path, "run", "first")
    journal.note(["a"], alone=True)
    die(journal)
    # The second one's worker was gone before it wrote a line.
    excuse_attempt(path, "second")
    note_hang(path, "second", 900.0)
    history = read_history(path, "run")
    assert history.suspects == {"a"} and not history.ended
    third = ShardJournal(path, "run", "third")
    die(third)
    note_hang(path, "first", 900.0)
    excuse_attempt(path, "first")
    assert read_history(path, "run") == JournalHistory()


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


def test_a_journal_that_cannot_be_read_or_removed_is_one_line(tmp_path: Path) -> None:
    own, copy = tmp_path / "s.journal", tmp_path / "s.copy.journal"
    copy.mkdir()
    with pytest.raises(WorkspaceError, match=r"s.copy.journal: cannot be read \(Is a directory\)"):
        fold_copy(tmp_path, "s")
    with pytest.raises(WorkspaceError, match=r"s.copy.journal: cannot be removed"):
        forget_journals(tmp_path, "s")
    own.mkdir()
    for ask in (read_history, ShardJournal):
        with pytest.raises(WorkspaceError, match=r"s.journal: cannot be read \(Is a directory\)"):
            ask(own, "run")
