"""Labelling in this process, without Ray: for a debugger, or a machine that has no Ray."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from pipeline.errors import PredictionError, WorkspaceError
from pipeline.label.blame import IN_PROCESS
from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.faults import explain_failure
from pipeline.label.journal import journal_path_of, note_hang, read_history
from pipeline.label.product import Product
from pipeline.label.run_ends import lose
from pipeline.label.settings import LabelSettings
from pipeline.label.shard_queue import ShardQueue, ShardRun
from pipeline.label.tasks import ShardTask
from pipeline.label.watchdog import ended_when_stuck
from pipeline.label.worker import ShardWorker
from pipeline.processors import count_processors
from pipeline.shards import Receipt

REST_POLL_SEC = 1.0


class LocalPool:
    """One worker, here; a context manager."""

    def __init__(self, product: Product, label_settings: LabelSettings, shards_dir: Path) -> None:
        self._arguments = (product, label_settings, shards_dir)
        self._teacher_stall_sec = label_settings.teacher_stall_sec
        self._shards_dir = shards_dir
        self._worker: ShardWorker | None = None
        self._queue = ShardQueue(())

    def __enter__(self) -> "LocalPool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.close()

    @property
    def resources(self) -> WorkerResources:
        """One worker with all processors, and one GPU where there is any."""
        import torch

        return WorkerResources(1, count_processors(), 1.0 if torch.cuda.is_available() else 0.0)

    def describe(self, *, measure: bool, expected: Mapping[str, str] | None = None) -> WorkerDescription:
        """Say what this process labels with, expected or not."""
        return self._started().describe(measure=measure)

    def label_all(
        self, tasks: Sequence[ShardTask], on_tick: Callable[[int], None], earlier_pace: Sequence[float] = ()
    ) -> Iterator[Receipt]:
        """Label one shard after the other; see `pipeline.label.worker_pool.WorkerPool`.

        A teacher that hangs takes this process with it; the next one finds in the journal what it hung on.
        """
        worker = self._started()
        queue = self._queue = ShardQueue(tasks)
        while queue.num_open:
            if (run := queue.take()) is None:
                # It rests.
                time.sleep(REST_POLL_SEC)
                continue
            worker.on_frames = functools.partial(_note_frames, run, worker.progress().frames, on_tick)
            last_words = functools.partial(self._blame_hang, run.task)
            try:
                with ended_when_stuck(lambda: worker.progress().teacher_sec, self._teacher_stall_sec, last_words):
                    receipt = worker.label(run.task)
            except PredictionError as error:
                if not error.with_videos:
                    raise explain_failure(error) from error
                history = read_history(journal_path_of(self._shards_dir, run.task), IN_PROCESS)
                lose(run, history, str(explain_failure(error)), queue, self._shards_dir)
            else:
                queue.commit(run, receipt.frames)
                yield receipt
            on_tick(worker.progress().frames)
        queue.require_all()

    def open_runs(self) -> tuple[ShardRun, ...]:
        """Return the attempt under way, if any."""
        return self._queue.runs

    def _blame_hang(self, task: ShardTask, seconds: float) -> str:
        """Write a hang into the shard's journal, and say it in one line."""
        journal_path = journal_path_of(self._shards_dir, task)
        try:
            note_hang(journal_path, task.attempt, seconds)
            history = read_history(journal_path, IN_PROCESS)
        except (WorkspaceError, OSError) as error:
            return (
                f"shard {task.name}: a teacher, or flow, gave nothing for {seconds:.0f} s, and the journal cannot tell "
                f"the next run: {error}"
            )
        videos = ", ".join(history.in_hand) or "plain frames"
        return (
            f"shard {task.name}: a teacher, or flow, gave nothing for {seconds:.0f} s, at {videos}; committed shards "
            "are kept. Run the same command again: a video that does this three times, alone in a fresh process, is "
            "left out as timeout"
        )

    def _started(self) -> ShardWorker:
        if self._worker is None:
            self._worker = ShardWorker(*self._arguments, num_cpus=count_processors())
        return self._worker


def _note_frames(run: ShardRun, frames_before: int, on_tick: Callable[[int], None], frames: int) -> None:
    """Note the frames of the present run, and pass on those of all."""
    run.note(frames - frames_before, time.monotonic())
    on_tick(frames)
