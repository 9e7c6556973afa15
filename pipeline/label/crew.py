"""The labelling workers on a Ray cluster: started, found ready, given work, watched, replaced when they die.

A worker gets work only after it loaded its teachers. A worker that cannot start yet, because a node is gone, waits
until the node or another one is there; the others go on without it. One that meets a fault of its node rests for a
while, so that its node's place is not filled with the next one to meet it.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from pipeline.errors import KinetError, PredictionError
from pipeline.label.actor import Member
from pipeline.label.crew_starts import Starts, explain_start, measure_speed
from pipeline.label.description import WorkerDescription
from pipeline.label.faults import explain_error
from pipeline.label.losses import Losses, is_node_gone, is_out_of_reach, is_up
from pipeline.label.run_ends import Committed, Died, Failed, Faulted, Hung
from pipeline.label.settings import ClusterSettings
from pipeline.label.shard_queue import ShardRun
from pipeline.shards import Receipt

logger = logging.getLogger(__name__)

# Faults of data or environment, with no worker that has met none, before they are everybody's.
MAX_FAULTS = 3
FIRST_REST_SEC, LONGEST_REST_SEC = 2.0, 300.0


class Crew:
    """The workers of one labelling job.

    Args:
        start_actor: ask Ray for one more `LabellingActor`, on none of these nodes.
        find_nodes: the nodes that are up and large enough for a worker.
        describe_needs: what one worker asks of a node, in words.
        settings: how patient to be.
        teacher_stall_sec: how patient with a worker's teachers; see `LabelSettings`.
    """

    def __init__(
        self,
        start_actor: Callable[[Collection[str]], Any],
        find_nodes: Callable[[], frozenset[str]],
        describe_needs: Callable[[], str],
        settings: ClusterSettings,
        teacher_stall_sec: float,
    ) -> None:
        self._starts = Starts(start_actor, find_nodes)
        self._describe_needs = describe_needs
        self._settings = settings
        self._teacher_stall_sec = teacher_stall_sec
        # The last one that was started for another's place.
        self._renewal: Member | None = None
        self._idle: list[Member] = []
        self._resting: list[Member] = []
        self._at_work: dict[Any, Member] = {}
        self._losses = Losses(is_up)
        self._last_ready_sec = time.monotonic()
        self._frames_of_gone = 0
        # Of workers that were ended for them, by node: the next one there takes them over.
        self._faults_left: Counter[str] = Counter()

    @property
    def idle(self) -> tuple[Member, ...]:
        """Workers that are ready and have nothing to do."""
        return tuple(self._idle)

    @property
    def num_frames(self) -> int:
        """Frames labelled by all workers, as far as they have said."""
        return self._frames_of_gone + sum(member.frames for member in self._everyone())

    def fill(self, num_wanted: int, num_places: int) -> None:
        """Ask for the workers that are wanted and not there, as far as there is work for those who do not rest."""
        present = len(self._everyone())
        num_new = min(num_wanted - present, num_places - present + len(self._resting))
        self._starts.begin(num_new)

    def renew(self) -> None:
        """Have a fresh worker take the place of an idle one that has labelled, unless one is idle or on its way."""
        used = [member for member in self._idle if not member.is_fresh]
        if used and len(used) == len(self._idle) and self._renewal not in self._starts.members:
            self._idle.remove(used[0])
            self._end(used[0])
            self._renewal = next(iter(self._starts.begin(1)), None)

    def describe(
        self,
        count_wanted: Callable[[], int],
        count_room: Callable[[], int],
        *,
        measure: bool,
        expected: Mapping[str, str] | None,
    ) -> WorkerDescription:
        """Start the workers and say what they label with, once one is ready that labels with what it should.

        Args:
            count_wanted: the workers to have; both counts change as nodes come and go.
            count_room: as many as the cluster has room for.
            measure: how fast one is, too.
            expected: the ingredients that a plan fixed; None leaves it to the majority of the workers.

        Returns:
            What is expected, or was agreed on; where no node's worker has it, what one of them has instead.

        Raises:
            KinetError: none starts, the teachers cannot be loaded, or no majority labels alike.
        """
        if expected is not None:
            self._starts.expect(expected)
        num_deaths = 0
        while True:
            if (instead := self._start_first(count_wanted, count_room)) is not None:
                return instead
            member = self._idle[0]
            if not measure:
                assert member.description is not None
                return member.description
            try:
                return measure_speed(member, self._settings.start_timeout_sec)
            except RayActorError as error:
                self._idle.remove(member)
                self._end(member)
                num_deaths += not (is_out_of_reach(error) or is_node_gone(member.node_id, error))
                if num_deaths == MAX_FAULTS:
                    raise explain_start(error) from error
                logger.warning("a worker died while its speed was measured; the next one is tried")

    def will_take_more(self, member: Member) -> bool:
        """Whether a worker will get another shard after its next one, or makes place for a fresh process."""
        return member.num_shards + 1 < self._settings.shards_per_worker

    def assign(self, member: Member, run: ShardRun) -> None:
        """Give a ready worker a shard."""
        self._idle.remove(member)
        member.begin(run, time.monotonic())
        self._at_work[member.handle.label.remote(run.task)] = member

    def wait(self, seconds: float) -> Iterator[Committed | Died | Hung | Failed | Faulted]:
        """Wait until a run ends or a worker is ready, or for so long; yield the runs that ended.

        Raises:
            KinetError: a fault of data or environment that every worker meets.
        """
        references = [*self._at_work, *self._starts.references]
        if not references:
            time.sleep(seconds)
        ended, _ = ray.wait(references, num_returns=1, timeout=seconds) if references else ([], [])
        if ended:
            # What else ended in the same moment.
            ended, _ = ray.wait(references, num_returns=len(references), timeout=0)
        for reference in ended:
            if reference in self._at_work:
                if (run_end := self._settle_run(reference)) is not None:
                    yield run_end
            elif reference in self._starts.references:
                others_are_well = bool(self._idle or self._at_work)
                if (member := self._starts.settle(reference, others_are_well=others_are_well)) is None:
                    continue
                member.num_faults = self._faults_left.pop(member.node_id, 0)
                self._idle.append(member)
        yield from self._losses.settle()
        self._ask_progress()
        yield from self._end_stuck()
        now = time.monotonic()
        self._idle += [member for member in self._resting if member.rest_until_sec <= now]
        self._resting = [member for member in self._resting if member.rest_until_sec > now]

    def dismiss(self, run: ShardRun) -> None:
        """End the worker that is at work on a run."""
        self._losses.drop(run)
        for reference, member in list(self._at_work.items()):
            if member.run is run:
                del self._at_work[reference]
                self._end(member)

    def require_some(self) -> None:
        """Raise KinetError when no worker is ready and none has been for too long."""
        now, patience_sec = time.monotonic(), self._settings.start_timeout_sec
        if self._idle or self._at_work or self._resting or self._starts.any_unjudged:
            self._last_ready_sec = now
        elif now - self._last_ready_sec > patience_sec:
            total, free = ray.cluster_resources(), ray.available_resources()
            has = ", ".join(f"{total.get(name, 0):g} {name} ({free.get(name, 0):g} free)" for name in ("CPU", "GPU"))
            raise KinetError(
                f"no worker has started for {patience_sec:.0f} s: one needs {self._describe_needs()} on one node; the "
                f"cluster has {has}. Add nodes, end what holds them, or give other --workers or --gpus-per-worker"
                + (f"; what the last start ended with: {self._starts.last_fault}" if self._starts.last_fault else "")
            )

    def close(self) -> None:
        """End every worker."""
        for member in self._everyone():
            self._end(member)

    def _start_first(self, count_wanted: Callable[[], int], count_room: Callable[[], int]) -> WorkerDescription | None:
        """Have one worker idle that labels with what it should; where no node's does, say what one of them has."""
        while not self._idle:
            if (refusal := self._starts.find_refusal()) is not None:
                if refusal.description is None:
                    raise refusal.fault
                return refusal.description
            num_wanted = count_wanted()
            self.fill(num_wanted, num_wanted)
            # None has work yet, so that none ends any.
            list(self.wait(1.0))
            self._idle += self._starts.agree(min(num_wanted, count_room()))
            self.require_some()
        return None

    def _everyone(self) -> list[Member]:
        return [*self._starts.members, *self._idle, *self._resting, *self._at_work.values()]

    def _settle_run(self, reference: Any) -> Committed | Died | Failed | Faulted | None:
        """Say how a run ended; None where that is not known yet."""
        member = self._at_work.pop(reference)
        run, member.run = member.run, None
        assert run is not None
        try:
            receipt: Receipt = ray.get(reference)
        except RayTaskError as error:
            return self._settle_error(member, run, error.cause)
        except RayError as error:
            self._end(member)
            logger.warning("shard %s: its worker died (%s)", run.task.name, " ".join(str(error).split())[:200])
            if is_out_of_reach(error):
                self._losses.add(run, member.node_id)
                return None
            return Died(run, excused=is_node_gone(member.node_id, error))
        member.num_shards += 1
        member.num_faults = 0
        if run.task.again is None:
            # It may have nothing more to say before long, or ever.
            member.frames = max(member.frames, member.frames_before + receipt.frames)
        if member.num_shards < self._settings.shards_per_worker:
            self._idle.append(member)
        else:
            self._end(member)
        return Committed(run, receipt)

    def _settle_error(self, member: Member, run: ShardRun, cause: BaseException) -> Failed | Faulted:
        """Lay an error to the videos, or to the worker; end the job where no worker is left that has met none."""
        fault = explain_error(cause)
        if isinstance(cause, PredictionError) and cause.with_videos:
            # A teacher's process, its GPU above all, may be of no more use.
            self._end(member)
            return Failed(run, str(fault))
        present = [member, *self._idle, *self._resting, *self._at_work.values()]
        # Where a node is to blame, all its workers meet it.
        was_well = not any(other.num_faults for other in present if other.node_id == member.node_id)
        member.num_faults += 1
        num_faults = sum(other.num_faults for other in present) + self._faults_left.total()
        if num_faults >= MAX_FAULTS and all(other.num_faults for other in present):
            self._end(member)
            raise fault from cause
        logger.warning("shard %s waits again: a worker on node %s met: %s", run.task.name, member.node_id[:8], fault)
        if isinstance(cause, KinetError) and not isinstance(cause, PredictionError):
            rest_sec = min(LONGEST_REST_SEC, FIRST_REST_SEC * 2 ** (member.num_faults - 1))
            member.rest_until_sec = time.monotonic() + rest_sec
            self._resting.append(member)
        else:
            self._end(member)
            self._faults_left[member.node_id] = max(self._faults_left[member.node_id], member.num_faults)
            self._starts.pause()
        return Faulted(run, str(fault), was_well=was_well)

    def _ask_progress(self) -> None:
        """Take in what the workers answered, and ask again: none of it is waited for."""
        for member in self._at_work.values():
            if member.progress_asked is not None:
                if not ray.wait([member.progress_asked], timeout=0)[0]:
                    continue
                try:
                    member.note(ray.get(member.progress_asked), time.monotonic())
                except RayError:
                    # Its run's own end says so too, and is where it is answered.
                    continue
            member.progress_asked = member.handle.progress.remote()

    def _end_stuck(self) -> Iterator[Died | Hung]:
        """End the workers that stand still: nothing else would."""
        now = time.monotonic()
        for reference, member in list(self._at_work.items()):
            stuck_sec = member.stuck_sec(now)
            if stuck_sec <= self._teacher_stall_sec or member.run is None:
                continue
            del self._at_work[reference]
            self._end(member)
            logger.warning("shard %s: its worker stood still for %.0f s", member.run.task.name, stuck_sec)
            yield Hung(member.run, stuck_sec) if is_up(member.node_id) else Died(member.run, excused=True)

    def _end(self, member: Member) -> None:
        self._frames_of_gone += member.frames
        ray.kill(member.handle)
