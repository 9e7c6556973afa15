"""The driver's bookkeeping: every shard is committed once or given up and named, whatever happens to the workers."""

import dataclasses
import random
from pathlib import Path

import pytest

from manifests import VideoRecord
from pipeline.errors import LabellingError, PredictionError, Reason
from pipeline.label.blame import MAX_CONDEMNED, Condemned, JournalHistory
from pipeline.label.journal import ShardJournal, journal_path_of
from pipeline.label.plan import even_sizes, partition
from pipeline.label.run_ends import Failed, Hung, settle
from pipeline.label.shard_queue import (
    LATE_AFTER_SEC,
    LONGEST_REST_SEC,
    MAX_DEATHS,
    MAX_ENDED,
    MAX_FAILURES_IN_A_ROW,
    MAX_SHARD_FAULTS,
    PACE_SHARDS,
    STUCK_SEC,
    ShardQueue,
    ShardRun,
)
from pipeline.label.tasks import ShardTask
from tests.pipeline.shards.made import make_header


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tasks(num_shards: int, videos_per_shard: int = 2, num_frames: tuple[int | None, ...] = (None,)) -> list[ShardTask]:
    records = [
        VideoRecord(f"v{i}", Path(f"/v{i}.mp4"), "train", 0, "c", num_frames=num_frames[i % len(num_frames)])
        for i in range(num_shards * videos_per_shard)
    ]
    return [ShardTask(shard, make_header()) for shard in partition(records, even_sizes(records, videos_per_shard))]


def give_up(queue: ShardQueue) -> None:
    """Let a shard's first videos all fail, and none come through."""
    run = queue.take()
    assert run is not None
    verdict = Condemned(3, Reason.TEACHER_FAILED, "ValueError: no")
    history = JournalHistory(condemned={f"v{i}": verdict for i in range(MAX_CONDEMNED)}, num_explained=15)
    queue.lose(run, history, "ValueError: no")


@pytest.mark.parametrize("seed", range(20))
def test_every_shard_is_committed_exactly_once_under_random_deaths(seed: int) -> None:
    generator = random.Random(seed)
    clock = Clock()
    queue = ShardQueue(tasks(12), clock)
    committed: list[str] = []
    at_work = []
    while queue.num_open:
        while len(at_work) < 3 and (run := queue.take()):
            at_work.append(run)
        clock.now += generator.choice([1, 10, 200])
        run = at_work.pop(generator.randrange(len(at_work)))
        if generator.random() < 0.5:
            queue.put_back(run)
        elif queue.commit(run, 20):
            committed.append(run.task.name)
    assert not at_work or all(run.task.name in committed for run in at_work)
    queue.require_all()
    assert sorted(committed) == sorted(task.name for task in tasks(12))


def test_a_shard_that_kills_its_workers_is_named_when_the_others_are_done() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(4), clock)
    poison = tasks(4)[1].name
    deaths = 0
    while queue.num_open:
        clock.now += LONGEST_REST_SEC
        run = queue.take()
        assert run is not None
        if run.task.name == poison:
            deaths += 1
            queue.lose(run, JournalHistory(), "its worker died")
        else:
            assert queue.commit(run, 20)
    assert deaths == MAX_DEATHS
    with pytest.raises(LabellingError, match=rf"1 shards could not be labelled .*{poison}"):
        queue.require_all()


def test_deaths_that_a_video_answers_for_are_not_the_shards() -> None:
    queue = ShardQueue(tasks(1))
    for death in range(1, 2 * MAX_DEATHS):
        run = queue.take()
        assert run is not None
        queue.lose(run, JournalHistory(num_explained=death), "its worker died")
    run = queue.take()
    assert run is not None and queue.commit(run, 20)
    queue.require_all()


def test_a_teacher_that_fails_everywhere_ends_the_run_at_once() -> None:
    queue = ShardQueue(tasks(10))
    with pytest.raises(LabellingError, match=r"3 shards failed one after the other.*ValueError: no"):
        for _ in range(MAX_FAILURES_IN_A_ROW):
            give_up(queue)


def test_failures_apart_are_named_at_the_end() -> None:
    queue = ShardQueue(tasks(10))
    for number in range(10):
        if number % 2:
            give_up(queue)
        else:
            run = queue.take()
            assert run is not None
            queue.commit(run, 20)
    assert queue.num_open == 0
    with pytest.raises(LabellingError, match="5 shards could not be labelled"):
        queue.require_all()


def test_a_late_shard_goes_to_one_idle_worker_more_and_counts_once() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(5), clock)
    late = queue.take()
    assert late is not None
    for _ in range(4):
        run = queue.take()
        assert run is not None
        clock.now += 40
        assert queue.commit(run, 20)
    assert queue.take() is not None
    assert queue.take() is None
    (second,) = queue.rivals(late)
    assert second.task.shard is late.task.shard and second.task.is_copy
    queue.lose(late, JournalHistory(), "its worker died")
    assert queue.num_open == 1 and queue.take() is None
    assert queue.commit(second, 20) and queue.num_open == 0


def test_two_workers_at_a_shard_never_write_under_one_name() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(5), clock)
    first = late_run(queue, clock)
    second = queue.take()
    assert second is not None and second.task.is_copy and second.task.attempt != first.task.attempt
    queue.put_back(first)
    clock.now += 10 * LATE_AFTER_SEC
    third = queue.take()
    assert third is not None and third.task.name == second.task.name and not third.task.is_copy
    assert len({run.task.attempt for run in (first, second, third)}) == 3


def test_a_fault_that_well_workers_meet_at_one_shard_is_the_shards() -> None:
    queue = ShardQueue(tasks(2))
    sick = tasks(2)[0].name
    labelled = 0
    for number in range(2 * MAX_SHARD_FAULTS):
        run = queue.take()
        assert run is not None
        if run.task.name != sick:
            labelled += queue.commit(run, 20)
            run = queue.take()
            assert run is not None and run.task.name == sick
        # Every other worker has met faults elsewhere: those say nothing of this shard.
        queue.put_back_faulted(run, "v0.mp4: Input/output error", was_well=number % 2 == 1)
        if not queue.num_open:
            break
    assert (labelled, number) == (1, 2 * MAX_SHARD_FAULTS - 1)
    with pytest.raises(LabellingError, match=rf"1 shards could not be labelled \({sick}\); .*Input/output error"):
        queue.require_all()


def test_nobody_is_late_before_there_is_a_pace() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(2), clock)
    first, second = queue.take(), queue.take()
    assert first is not None and second is not None
    clock.now += 10 * LATE_AFTER_SEC
    queue.commit(second, 20)
    assert queue.take() is None


@pytest.mark.parametrize("known", [True, False])
def test_a_shard_of_one_long_video_is_not_late(known: bool) -> None:
    clock = Clock()
    frames = (20, 20, 20, 20, 2000)
    queue = ShardQueue(tasks(5, 1, frames if known else (None,)), clock)
    runs = [queue.take() for _ in range(5)]
    long = runs.pop()
    assert long is not None and (long.task.shard.records[0].num_frames == 2000) is known
    for run in runs:
        assert run is not None
        clock.now += 10
        assert queue.commit(run, 20)
    clock.now += 1000
    # Where nothing is known of its length, it is judged by what it has done.
    long.frames = 1000
    assert queue.take() is None
    clock.now += 100_000
    assert queue.take() is not None


def test_a_shard_that_ended_badly_is_the_next_one() -> None:
    queue = ShardQueue(tasks(3))
    run = queue.take()
    assert run is not None
    queue.lose(run, JournalHistory(), "its worker died")
    again = queue.take()
    assert again is not None and again.task.name == run.task.name


def lose_after(queue: ShardQueue, clock: Clock, history: JournalHistory) -> float:
    """Lose the only shard's next run; return how long the queue let it wait before."""
    started = clock.now
    while (run := queue.take()) is None:
        clock.now += 1
    queue.lose(run, history, "its worker died")
    return clock.now - started


def test_deaths_from_outside_make_a_shard_rest_and_not_be_given_up() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(1), clock)
    rests = [lose_after(queue, clock, JournalHistory()) for _ in range(4)]
    assert rests == [0, 0, 10, 20]
    clock.now += 40
    run = queue.take()
    assert run is not None and queue.commit(run, 20)
    queue.require_all()


def test_a_resting_shard_holds_up_no_other() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(2), clock)
    for _ in range(2):
        run = queue.take()
        assert run is not None and run.task.name == tasks(2)[0].name
        queue.lose(run, JournalHistory(), "its worker died")
    other, none = queue.take(), queue.take()
    assert other is not None and other.task.name == tasks(2)[1].name and none is None
    assert queue.num_open == queue.num_places == 2


def test_workers_that_are_told_to_end_cost_a_shard_nothing_but_not_for_ever() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(1), clock)
    told = JournalHistory(ended=True)
    waited = sum(lose_after(queue, clock, told) for _ in range(MAX_ENDED))
    assert waited > MAX_ENDED / 2 * LONGEST_REST_SEC
    with pytest.raises(LabellingError, match=f"{MAX_ENDED} attempts ended badly"):
        queue.require_all()


@pytest.mark.parametrize("num_earlier", [PACE_SHARDS - 1, PACE_SHARDS])
def test_earlier_runs_tell_what_is_late_among_the_last_shards(num_earlier: int) -> None:
    clock = Clock()
    queue = ShardQueue(tasks(3), clock, earlier_pace=[0.3] * num_earlier)
    first, second, slow = (queue.take() for _ in range(3))
    assert first is not None and second is not None and slow is not None
    clock.now = 300
    queue.commit(first, 1000)
    queue.commit(second, 1000)
    clock.now, slow.frames = 3600, 100
    is_known = num_earlier >= PACE_SHARDS
    # One place for the late shard's own worker, and one for another, whether or not there is an idle one already.
    assert (queue.num_open, queue.num_places) == (1, 2 if is_known else 1)
    copy = queue.take()
    assert (copy is not None and copy.task.is_copy) == is_known
    assert queue.num_places == (2 if is_known else 1)


def late_run(queue: ShardQueue, clock: Clock) -> ShardRun:
    """Commit all shards but one, and let that one be late."""
    late, *runs = [queue.take() for _ in range(queue.num_open)]
    assert late is not None
    for run in runs:
        assert run is not None
        clock.now += 40
        queue.commit(run, 20)
    clock.now += 10 * LATE_AFTER_SEC
    return late


def test_no_second_worker_meets_what_a_teacher_may_hang_on() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(5), clock)
    late = late_run(queue, clock)
    late.teacher_sec = STUCK_SEC + 1
    assert queue.take() is None
    queue.lose(late, JournalHistory(suspects=frozenset({"v0"})), "its worker stood still")
    again = queue.take()
    assert again is not None and not again.task.is_copy
    clock.now += 10 * LATE_AFTER_SEC
    # Where a journal names suspects, a second worker would not know of them.
    assert queue.take() is None and queue.num_places == 1


def test_no_third_worker_meets_what_the_first_one_died_of() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(5), clock)
    late = late_run(queue, clock)
    assert queue.take() is not None
    queue.lose(late, JournalHistory(suspects=frozenset({"v0"})), "its worker died")
    clock.now += 10 * LATE_AFTER_SEC
    assert queue.take() is None and queue.num_places == 1


@pytest.mark.parametrize("num_labelled", [0, 1])
def test_verdicts_are_forgotten_where_the_teachers_are_to_blame(tmp_path: Path, num_labelled: int) -> None:
    """Once they are mended, the same command tries every video. Teachers that labelled a shard are well: it goes on."""
    queue = ShardQueue(tasks(1 + num_labelled, videos_per_shard=MAX_CONDEMNED)[::-1])
    if num_labelled:
        labelled = queue.take()
        assert labelled is not None and queue.commit(labelled, 20)
    while (run := queue.take()) is not None:
        with pytest.raises(PredictionError), ShardJournal(journal_path_of(tmp_path, run.task), "run") as journal:
            left = [name for name in (f"v{i}" for i in range(MAX_CONDEMNED)) if name not in journal.history.condemned]
            journal.note(left[:1], alone=True)
            raise ValueError("no")
        settle(Failed(run, "ValueError: no"), queue, tmp_path, "run")
    with pytest.raises(LabellingError, match=f"not one of its first {MAX_CONDEMNED} videos could be labelled"):
        queue.require_all()
    assert len(list(tmp_path.iterdir())) == num_labelled


def test_a_video_that_hangs_the_late_shards_second_worker_too_is_condemned(tmp_path: Path) -> None:
    clock = Clock()
    queue = ShardQueue(tasks(5), clock)

    def hang(run: ShardRun) -> dict[str, Condemned]:
        """Make an attempt at videos v0 and v1, of which the second one hangs the teachers; return the verdicts."""
        journal = ShardJournal(journal_path_of(tmp_path, run.task), "run", run.task.attempt)
        if not journal.history.suspects:
            journal.note(["v0", "v1"])
        for video_id in sorted(journal.history.suspects):
            journal.note([video_id], alone=True, frames=16)
        return journal.history.condemned

    late, copy = late_run(queue, clock), queue.take()
    assert copy is not None and not hang(late) and not hang(copy)
    settle(Hung(late, 900.0), queue, tmp_path, "run")
    settle(Hung(copy, 900.0), queue, tmp_path, "run")
    verdicts: dict[str, Condemned] = {}
    # One after the other video, three alone in fresh processes, and the verdict.
    for _ in range(5):
        clock.now += LONGEST_REST_SEC
        run = queue.take()
        assert run is not None and not run.task.is_copy
        if verdicts := hang(run):
            break
        settle(Hung(run, 900.0), queue, tmp_path, "run")
    assert list(verdicts) == ["v1"] and verdicts["v1"].reason is Reason.TIMEOUT
    assert queue.commit(run, 20)
    queue.require_all()
    assert not list(tmp_path.glob("*.copy.journal"))


def test_a_shard_that_cost_a_worker_waits_for_a_fresh_one() -> None:
    queue = ShardQueue(tasks(2))
    first = queue.take()
    assert first is not None
    queue.lose(first, JournalHistory(), "died")
    assert not queue.wants_fresh
    other = queue.take(is_fresh=False)
    assert other is not None and other.task.shard != first.task.shard
    assert queue.wants_fresh and queue.take(is_fresh=False) is None
    again = queue.take(is_fresh=True)
    assert again is not None and again.task.shard == first.task.shard and not queue.wants_fresh


def test_a_task_says_what_its_worker_gets_next() -> None:
    """With nothing but work that goes well, each worker's next shard is the one that it was told of."""
    queue = ShardQueue(tasks(9))
    runs = {worker: queue.take(worker=worker) for worker in "abc"}
    told = 0
    while any(runs.values()):
        # Some are quicker than others.
        for worker in "aabac":
            if (run := runs[worker]) is not None:
                queue.commit(run, 1)
                after = runs[worker] = queue.take(worker=worker)
                if run.task.then and after is not None:
                    assert run.task.then == after.task.shard.records
                    told += 1
    queue.require_all()
    assert queue.num_open == 0 and told >= 4


def test_what_is_meant_for_one_worker_is_given_to_another_that_has_nothing_to_do() -> None:
    queue = ShardQueue(tasks(2))
    first = queue.take(worker="a")
    assert first is not None and first.task.then
    second = queue.take(worker="b")
    assert second is not None and second.task.shard.records == first.task.then and second.task.then == ()


def test_a_worker_that_takes_no_more_is_told_of_nothing_and_nothing_is_kept_for_it() -> None:
    queue = ShardQueue(tasks(3))
    first, second = queue.take(worker="a", takes_more=False), queue.take(worker="b")
    assert first is not None and first.task.then == ()
    assert second is not None and second.task.shard.index == 1 and second.task.then


def test_a_shard_that_cost_a_worker_comes_before_what_was_meant_for_one() -> None:
    queue = ShardQueue(tasks(4))
    lost, run = queue.take(worker="a"), queue.take(worker="b")
    assert lost is not None and run is not None
    queue.lose(lost, JournalHistory(), "died")
    again = queue.take(worker="c")
    assert again is not None and again.task.shard == lost.task.shard
    queue.commit(run, 1)
    after = queue.take(worker="b", is_fresh=False)
    assert after is not None and after.task.shard.records == run.task.then


def test_of_a_shard_that_is_tried_again_in_part_only_that_part_is_begun() -> None:
    first, second = tasks(2)
    queue = ShardQueue([first, dataclasses.replace(second, again=frozenset({"v3"}))])
    run = queue.take()
    assert run is not None and [record.video_id for record in run.task.then] == ["v3"]


@pytest.mark.parametrize("how", ["lost", "put back", "dropped", "idle", "takes no more"])
def test_nothing_is_kept_for_a_worker_that_may_not_come_again(how: str) -> None:
    queue = ShardQueue(tasks(12))
    for gone in range(3):
        run = queue.take(worker=gone)
        assert run is not None and run.task.then
        match how:
            case "lost":
                queue.lose(run, JournalHistory(any_passed=True), "died")
                queue.commit(take(queue, worker="helper", takes_more=False), 1)
            case "put back":
                queue.put_back(run)
            case "dropped":
                queue.commit(run, 1)
                # Whoever else was at it has committed it.
                queue.drop(take(queue, worker=gone))
            case _:
                queue.commit(run, 1)
                queue.commit(take(queue, worker=gone, takes_more=False), 1)
    order = []
    while (run := queue.take(worker="one")) is not None:
        order.append(run.task.shard.index)
        assert run.task.then or queue.num_open == 1
        queue.commit(run, 1)
    # What was put back goes to the end; else the first comes first: none is held back for one that is gone.
    assert order == ([*range(3, 12), 0, 1, 2] if how == "put back" else sorted(order))
    queue.require_all()


def test_what_ended_badly_is_kept_for_nobody() -> None:
    clock = Clock()
    queue = ShardQueue(tasks(4), clock)
    for _ in range(2):
        queue.lose(take(queue), JournalHistory(ended=True), "out of memory")
    clock.now += LONGEST_REST_SEC
    first, second, third = (take(queue, worker=name) for name in "abc")
    assert {first.task.shard.index, second.task.shard.index} == {0, 1} and third.task.shard.index in (2, 3)


def take(queue: ShardQueue, **arguments) -> ShardRun:
    run = queue.take(**arguments)
    assert run is not None
    return run
