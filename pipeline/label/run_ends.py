"""How a worker's run at a shard may end, and what the queue and the shard's journal are told of it. No Ray here."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from pipeline.label.blame import JournalHistory
from pipeline.label.journal import (
    excuse_attempt,
    fold_copy,
    forget_journals,
    journal_path_of,
    note_hang,
    read_history,
)
from pipeline.label.shard_queue import ShardQueue, ShardRun
from pipeline.shards import Receipt


class Committed(NamedTuple):
    """A run ended in a committed shard."""

    run: ShardRun
    receipt: Receipt


class Died(NamedTuple):
    """A run's worker died; `excused` where its node is gone."""

    run: ShardRun
    excused: bool


class Hung(NamedTuple):
    """A run's worker was ended because its teachers, or all of it, stood still for so long."""

    run: ShardRun
    seconds: float


class Failed(NamedTuple):
    """A run ended in an error that a teacher raised with videos in hand."""

    run: ShardRun
    why: str


class Faulted(NamedTuple):
    """A run ended in a fault of data or environment; `was_well` where none of its node had met one."""

    run: ShardRun
    why: str
    was_well: bool


def settle(ended: Died | Hung | Failed | Faulted, queue: ShardQueue, shards_dir: Path, run: str) -> None:
    """Put a shard back whose run came to nothing, and say in its journal what the worker cannot say itself.

    Args:
        ended: the run, and how.
        queue: that handed it out.
        shards_dir: where the journals are.
        run: the driver's name in them.

    Raises:
        LabellingError: the last shards were all given up.
        WorkspaceError: the journal cannot be written.
    """
    if isinstance(ended, Faulted):
        queue.put_back_faulted(ended.run, ended.why, was_well=ended.was_well)
        return
    task = ended.run.task
    journal_path = journal_path_of(shards_dir, task)
    why = "its worker died; it may lack memory"
    if isinstance(ended, Hung):
        note_hang(journal_path, task.attempt, ended.seconds)
        why = f"its worker stood still for {ended.seconds:.0f} s"
    elif isinstance(ended, Failed):
        why = ended.why
    elif ended.excused:
        excuse_attempt(journal_path, task.attempt)
    history = read_history(journal_path, run)
    if not queue.rivals(ended.run):
        # The next worker reads one journal only.
        fold_copy(shards_dir, task.name)
        own_path = journal_path_of(shards_dir, dataclasses.replace(task, is_copy=False))
        history = dataclasses.replace(read_history(own_path, run), ended=history.ended)
    if isinstance(ended, Died) and ended.excused:
        queue.put_back(ended.run)
    else:
        lose(ended.run, history, why, queue, shards_dir)


def lose(run: ShardRun, history: JournalHistory, why: str, queue: ShardQueue, shards_dir: Path) -> None:
    """Tell the queue of a run that ended badly; see `ShardQueue.lose`.

    Where the teachers seem to blame, and have labelled no shard in this run, what is said of the videos is forgotten:
    all are tried once the teachers are mended.
    """
    if history.blames_teachers and not (queue.any_committed or queue.rivals(run)):
        forget_journals(shards_dir, run.task.name)
    queue.lose(run, history, why)
