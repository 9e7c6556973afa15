"""Which shard is labelled next, by how many workers, and when it is given up: the driver's bookkeeping, without Ray."""

import dataclasses
import logging
import statistics
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from pipeline.errors import LabellingError
from pipeline.label.blame import JournalHistory
from pipeline.label.foresight import Foresight
from pipeline.label.tasks import ShardTask, name_attempt

logger = logging.getLogger(__name__)

# Bad ends of attempts that one shard may cost, beside those that its journal lays to videos. What kills workers from
# outside, a neighbour that takes the memory say, may meet one shard several times: it waits longer each time.
MAX_DEATHS = 6
FIRST_REST_SEC, LONGEST_REST_SEC = 10.0, 300.0
# Ends that the shard's journal lays to nobody: no doing of the shard, but not for ever.
MAX_ENDED = 20
# Faults of data or environment at a shard, met by workers whose node was well before, after which they are the shard's.
MAX_SHARD_FAULTS = 3
# Where so many shards are given up one after the other, so will be all.
MAX_FAILURES_IN_A_ROW = 3
# A shard is late when it takes so many times the median, and a worker's start is long forgotten.
LATE_FACTOR = 2.0
LATE_AFTER_SEC = 60.0
# Teachers that are at one batch for so long may have met a video that would hang a second worker too.
STUCK_SEC = 60.0
# Below so many finished shards there is no median to speak of.
PACE_SHARDS = 3


@dataclass(eq=False)
class ShardRun:
    """One worker's attempt at a shard.

    Attributes:
        task: the shard.
        started_sec: by the queue's clock.
        worker: who is at it.
        frames: labelled so far, as the worker says.
        teacher_sec: how long its teachers have been at one batch, as the worker says.
        told_sec: when it said so of the last of them, by the same clock.
    """

    task: ShardTask
    started_sec: float
    worker: Hashable = None
    frames: int = 0
    teacher_sec: float = 0.0
    told_sec: float = 0.0

    def note(self, frames: int, now: float) -> None:
        """Take in how many frames the worker has labelled of it."""
        if frames > self.frames:
            self.frames, self.told_sec = frames, now

    @property
    def expected_frames(self) -> int:
        """Frames of the whole shard where the manifest knows them all; else those labelled so far."""
        counts = [record.num_frames for record in self.task.shard.records]
        known = [count for count in counts if count is not None]
        return max(self.frames, sum(known)) if len(known) == len(counts) else self.frames


class ShardQueue:
    """Hand out shards until each is committed or given up.

    Args:
        tasks: what to label.
        clock: seconds.
        earlier_pace: seconds a frame of shards that earlier runs committed; they tell what is late until this run's do.
    """

    def __init__(
        self,
        tasks: Sequence[ShardTask],
        clock: Callable[[], float] = time.monotonic,
        *,
        earlier_pace: Sequence[float] = (),
    ) -> None:
        self._clock = clock
        self._earlier_pace = earlier_pace
        self._waiting = deque(tasks)
        self._foresight = Foresight()
        self._runs: list[ShardRun] = []
        self._committed: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self._ended: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._rest_until_sec: dict[str, float] = {}
        # A second worker would not know what the first one's journal says of them.
        self._with_history: set[str] = set()
        self._given_up: dict[str, str] = {}
        self._failures_in_a_row = 0
        self._sec_per_frame: list[float] = []

    @property
    def num_open(self) -> int:
        """Count the shards that are waiting or at work."""
        return len(self._waiting) + len({run.task.name for run in self._runs})

    @property
    def any_committed(self) -> bool:
        """Whether a shard was committed."""
        return bool(self._committed)

    @property
    def runs(self) -> tuple[ShardRun, ...]:
        """The attempts that are under way."""
        return tuple(self._runs)

    @property
    def num_places(self) -> int:
        """Count the workers that there is work for: at every open shard one, and a second one where it is late."""
        return len(self._waiting) + len(self._runs) + len(self._late_runs())

    @property
    def wants_fresh(self) -> bool:
        """Whether all that may be taken is for fresh processes: workers ended badly with it."""
        ready = self._ready(is_fresh=True)
        return bool(ready) and all(self._deaths[task.name] for task in ready)

    def take(self, *, is_fresh: bool = True, worker: Hashable = None, takes_more: bool = True) -> ShardRun | None:
        """Return work for an idle worker: a waiting shard, else one that another worker is late with, else None.

        Args:
            is_fresh: its process has labelled nothing yet; only such a one gets a shard that workers ended badly with.
            worker: who asks.
            takes_more: it will ask again; its task then says what it will most likely get.
        """
        ready = self._ready(is_fresh=is_fresh)
        task = self._foresight.take(worker, ready)
        if task is None or not takes_more:
            self._foresight.forget(worker)
        if task is not None:
            self._waiting.remove(task)
            if takes_more:
                # What ended badly goes to whoever comes first.
                well = [other for other in ready if other is not task and not self._has_ended_badly(other.name)]
                after = self._foresight.keep_next(worker, well)
                task = dataclasses.replace(task, then=after.to_decode if after else ())
        elif late := self._late_runs():
            latest = min(late, key=lambda run: run.started_sec).task
            # The late one may be the copy itself, left alone at the shard: what they write must differ in name.
            task = dataclasses.replace(latest, is_copy=not latest.is_copy, then=())
        else:
            return None
        run = ShardRun(dataclasses.replace(task, attempt=name_attempt()), self._clock(), worker)
        self._runs.append(run)
        return run

    def commit(self, run: ShardRun, num_frames: int) -> bool:
        """Note that a run committed its shard of so many frames; say whether it is the shard's first to do so."""
        self._runs.remove(run)
        self._failures_in_a_row = 0
        if run.task.name in self._committed:
            return False
        self._committed.add(run.task.name)
        self._given_up.pop(run.task.name, None)
        if num_frames:
            self._sec_per_frame.append((self._clock() - run.started_sec) / num_frames)
        return True

    def rivals(self, run: ShardRun) -> list[ShardRun]:
        """Return the runs of the same shard that are still at work."""
        return [other for other in self._runs if other.task.name == run.task.name and other is not run]

    def drop(self, run: ShardRun) -> None:
        """Forget a run that was ended because its shard is committed."""
        self._end(run)

    def put_back(self, run: ShardRun) -> None:
        """Let a shard wait again whose worker was lost through nothing of the shard's doing."""
        self._end(run)
        if not self._is_settled_elsewhere(run):
            self._waiting.append(dataclasses.replace(run.task, is_copy=False, then=()))

    def put_back_faulted(self, run: ShardRun, why: str, *, was_well: bool) -> None:
        """Let a shard wait again after its worker met a fault of data or environment, unless too many have at it.

        Args:
            run: the attempt.
            why: the fault.
            was_well: no worker of its node had met one since it last committed a shard: this one may be the shard's.

        Raises:
            LabellingError: the last shards were all given up.
        """
        self._faults[run.task.name] += was_well
        if self._faults[run.task.name] < MAX_SHARD_FAULTS:
            self.put_back(run)
            return
        self._end(run)
        if not self._is_settled_elsewhere(run):
            self._give_up(run.task.name, why)

    def lose(self, run: ShardRun, history: JournalHistory, why: str) -> None:
        """Note that a run ended badly; the shard waits again, unless it has cost too much.

        It is the next one to be handed out: a teacher that fails on any frames at all is then found at once, by the
        plain batch with which an attempt at suspects begins. Where several ends have no cause that is known, it rests
        first.

        Args:
            run: the attempt.
            history: what the shard's journals say now.
            why: what the worker ended with.

        Raises:
            LabellingError: the last shards were all given up.
        """
        self._end(run)
        name = run.task.name
        if history.ended:
            self._ended[name] += 1
        else:
            self._deaths[name] += 1
        if history.suspects or history.condemned:
            self._with_history.add(name)
        if self._is_settled_elsewhere(run):
            return
        num_unexplained = max(0, self._deaths[name] - history.num_explained)
        if history.blames_teachers:
            self._give_up(name, f"not one of its first {len(history.condemned)} videos could be labelled; {why}")
        elif num_unexplained >= MAX_DEATHS or self._ended[name] >= MAX_ENDED:
            num_ends = self._deaths[name] + self._ended[name]
            self._give_up(name, f"{num_ends} attempts ended badly, the last one: {why}")
        else:
            # The first death that nothing explains makes suspects, and is explained by the next ones.
            if (num_rests := max(num_unexplained - 1, self._ended[name])) > 0:
                rest_sec = min(LONGEST_REST_SEC, FIRST_REST_SEC * 2 ** (num_rests - 1))
                self._rest_until_sec[name] = self._clock() + rest_sec
            self._waiting.appendleft(dataclasses.replace(run.task, is_copy=False, then=()))

    def require_all(self) -> None:
        """Raise LabellingError naming the shards that were given up; call it when nothing is open any more."""
        if self._given_up:
            name, why = next(iter(self._given_up.items()))
            raise LabellingError(
                f"{len(self._given_up)} shards could not be labelled ({', '.join(list(self._given_up)[:3])}); "
                f"{name}: {why}. All others are done: mend the cause, and run the same command again"
            )

    def _end(self, run: ShardRun) -> None:
        """Take back what was kept for a worker that may not come again."""
        self._runs.remove(run)
        self._foresight.forget(run.worker)

    def _is_settled_elsewhere(self, run: ShardRun) -> bool:
        """Whether the shard of a run that came to nothing is committed, or another worker is at it."""
        return run.task.name in self._committed or bool(self.rivals(run))

    def _has_ended_badly(self, name: str) -> bool:
        return bool(self._deaths[name] or self._ended[name])

    def _ready(self, *, is_fresh: bool) -> list[ShardTask]:
        """List the waiting shards that do not rest, and that such a process may be given."""
        now = self._clock()
        return [
            task
            for task in self._waiting
            if self._rest_until_sec.get(task.name, now) <= now and (is_fresh or not self._deaths[task.name])
        ]

    def _give_up(self, name: str, why: str) -> None:
        logger.warning("shard %s is given up: %s", name, why)
        self._given_up[name] = why
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise LabellingError(
                f"{self._failures_in_a_row} shards failed one after the other, the last one {name}: {why}. "
                "Committed shards are kept: mend the cause, and run the same command again"
            )

    def _late_runs(self) -> list[ShardRun]:
        """List the runs that are behind, alone at their shard, and of which another worker may make more."""
        paces = self._sec_per_frame if len(self._sec_per_frame) >= PACE_SHARDS else self._earlier_pace
        if len(paces) < PACE_SHARDS:
            return []
        pace, now = statistics.median(paces), self._clock()
        return [
            run
            for run in self._runs
            if now - run.started_sec > LATE_AFTER_SEC + LATE_FACTOR * pace * run.expected_frames
            and not self.rivals(run)
            and run.teacher_sec <= STUCK_SEC
            and run.task.name not in self._with_history
        ]
