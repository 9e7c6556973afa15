"""Workers on their way: asked for, placed by Ray, loading their teachers, and then taken on or refused.

A node whose worker would label otherwise than the others, or cannot load what they load, gets none for a while.
"""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from pipeline.errors import KinetError, LabellingError
from pipeline.label.actor import Member
from pipeline.label.agreement import REFUSED_SEC, REPORTS_SEC, Refusal, Refusals, choose_agreed, name_differences
from pipeline.label.description import WorkerDescription
from pipeline.label.losses import is_node_gone, is_out_of_reach, is_up

logger = logging.getLogger(__name__)

# Rounds of starts that fail one after the other, while no worker is at work, before it is hopeless.
MAX_FAILED_STARTS = 6
START_PAUSE_SEC = 5.0


class Starts:
    """The workers of a `Crew` that are not ready yet.

    Args:
        start_actor: ask Ray for one more `LabellingActor`, on none of these nodes.
        find_nodes: the nodes that are up and large enough for a worker.

    Attributes:
        agreed: the ingredients that all must label with; None while that is open.
        last_fault: what the last start that came to nothing ended with.
    """

    def __init__(self, start_actor: Callable[[Collection[str]], Any], find_nodes: Callable[[], frozenset[str]]) -> None:
        self.agreed: dict[str, str] | None = None
        self.last_fault: KinetError | None = None
        self._start_actor = start_actor
        self._find_nodes = find_nodes
        self._starting: dict[Any, Member] = {}
        # Those that are ready before it is known what all label with.
        self._unjudged: list[Member] = []
        self._refusals = Refusals()
        self._any_taken_on = False
        self._first_report_sec = 0.0
        self._round = 0
        self._failed_rounds = 0
        self._last_failed_round = 0
        self._next_start_sec = 0.0

    @property
    def references(self) -> list[Any]:
        """What ends when a worker is ready, or comes to nothing."""
        return list(self._starting)

    @property
    def members(self) -> list[Member]:
        """All workers on their way."""
        return [*self._starting.values(), *self._unjudged]

    @property
    def any_unjudged(self) -> bool:
        """Whether a worker is ready and waits for the others' reports."""
        return bool(self._unjudged)

    def find_refusal(self) -> Refusal | None:
        """Return the first refusal where every node that is large enough is refused, and none loads teachers now."""
        self._ask_places()
        is_loading = any(member.node_id for member in self._starting.values())
        return None if is_loading or self._unjudged else self._refusals.of_all(self._find_nodes())

    def expect(self, ingredients: Mapping[str, str]) -> None:
        """Take on only those that label with these."""
        self.agreed = dict(ingredients)

    def pause(self) -> None:
        """Start none for a few seconds."""
        self._next_start_sec = time.monotonic() + START_PAUSE_SEC

    def begin(self, num_new: int) -> list[Member]:
        """Ask for so many workers more, unless a start has just failed; return them."""
        if num_new < 1 or time.monotonic() < self._next_start_sec:
            return []
        self._round += 1
        refused = self._refusals.nodes
        # Where there is no other node, a refused one may be mended by now.
        avoided = refused if self._find_nodes() - refused else frozenset[str]()
        begun = [Member(self._start_actor(avoided), self._round) for _ in range(num_new)]
        for member in begun:
            member.place_asked = member.handle.place.remote()
            self._starting[member.handle.ready.remote()] = member
        return begun

    def settle(self, reference: Any, *, others_are_well: bool) -> Member | None:
        """Take in that a start ended; return the worker where it is ready and may begin.

        Raises:
            KinetError: so many starts came to nothing, and no other worker is well, that it is hopeless.
        """
        self._ask_places()
        member = self._starting.pop(reference)
        try:
            member.node_id, member.description = ray.get(reference)
        except (RayError, KinetError) as error:
            self._settle_failed(member, error, others_are_well)
            return None
        if self.agreed is None:
            self._first_report_sec = self._first_report_sec or time.monotonic()
            self._unjudged.append(member)
            return None
        return self._judge(member, self.agreed, others_are_well)

    def agree(self, num_asked: int) -> list[Member]:
        """Settle what all label with, as soon as the workers that are ready tell; return those that may begin.

        Args:
            num_asked: workers that were asked for and have room.

        Raises:
            KinetError: no majority of them labels alike.
        """
        # One whose node went has no say.
        self._unjudged = [member for member in self._unjudged if is_up(member.node_id)]
        reports = [member.description.ingredients for member in self._unjudged if member.description is not None]
        is_last_call = time.monotonic() - self._first_report_sec > REPORTS_SEC
        agreed = choose_agreed(reports, num_asked, is_last_call=is_last_call)
        if agreed is None:
            return []
        self.agreed = dict(agreed)
        unjudged, self._unjudged = self._unjudged, []
        return [member for member in unjudged if self._judge(member, self.agreed, others_are_well=True)]

    def _ask_places(self) -> None:
        """Take in where the starting workers are: one that dies says it no more."""
        for member in self._starting.values():
            if member.node_id or member.place_asked is None or not ray.wait([member.place_asked], timeout=0)[0]:
                continue
            # Its start's own end says so too, and is where it is answered.
            with contextlib.suppress(RayError):
                member.node_id = ray.get(member.place_asked)
            member.place_asked = None

    def _judge(self, member: Member, agreed: dict[str, str], others_are_well: bool) -> Member | None:
        """Return a worker that labels with what all do; refuse another one, and its node."""
        assert member.description is not None
        found = member.description.ingredients
        if found == agreed:
            self._failed_rounds = 0
            self._any_taken_on = True
            return member
        self._end(member, LabellingError(f"it would label otherwise: {name_differences(agreed, found)}"))
        self._count_failure(member, others_are_well)
        self._refuse(member)
        return None

    def _settle_failed(self, member: Member, error: Exception, others_are_well: bool) -> None:
        """Lay a start that came to nothing to its node, or to a node that went, which is nobody's fault."""
        self._end(member, explain_start(error))
        is_death = isinstance(error, RayActorError)
        # A node that goes takes all that load there at once, before Ray is sure of it.
        if not is_out_of_reach(error) and not (is_death and is_node_gone(member.node_id, error)):
            self._count_failure(member, others_are_well)
        if member.node_id and not is_death:
            self._refuse(member)
            return
        logger.warning("a worker did not start: %s", self.last_fault)
        self.pause()

    def _count_failure(self, member: Member, others_are_well: bool) -> None:
        """Count the rounds of starts that failed: one fault ends all starts of a round."""
        if member.round > self._last_failed_round:
            self._failed_rounds += 1
            self._last_failed_round = self._round
        if self._failed_rounds >= MAX_FAILED_STARTS and not others_are_well and not self._unjudged:
            assert self.last_fault is not None
            raise self.last_fault

    def _refuse(self, member: Member) -> None:
        """Start no worker on this one's node for a while; those elsewhere go on without it."""
        assert self.last_fault is not None
        self._refusals.add(member.node_id, self.last_fault, member.description)
        # Where none can begin elsewhere, the job ends with this fault, and says it once.
        if self._any_taken_on or self._find_nodes() - self._refusals.nodes:
            logger.warning("node %s gets no worker for %.0f s: %s", member.node_id[:8], REFUSED_SEC, self.last_fault)
        self.pause()

    def _end(self, member: Member, fault: KinetError) -> None:
        self.last_fault = fault
        ray.kill(member.handle)


def measure_speed(member: Member, timeout_sec: float) -> WorkerDescription:
    """Have a worker say what it labels with and how fast; raises KinetError, RayActorError where it is gone."""
    try:
        described = member.handle.describe.remote(measure=True)
        answer: WorkerDescription = ray.get(described, timeout=timeout_sec)
    except (RayTaskError, GetTimeoutError) as error:
        raise explain_start(error) from error
    return answer


def explain_start(error: Exception) -> KinetError:
    """Turn what a starting worker ended with into one line."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, KinetError):
        return cause
    what = f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    return LabellingError(f"a worker cannot start: {what}; mend it, and run the same command again")
