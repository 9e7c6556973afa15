"""Who is to blame for the bad ends of attempts at a shard: pure judgement, of what its journal says.

An end says little of a video that shared the teachers with others, or that came to a process after others: what was
gathered before may have ended it, as a leak does. So the next attempt labels each of them alone, and only what is the
first in its process can be held to be the cause. An end says little when the driver died as well: machines end, and
videos in hand are not to blame; only where it happens to a shard again are they labelled alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.errors import Reason

# Bad ends in a row, alone, first in a fresh process and at the same frame, after which a video is held to be the cause.
MAX_DEATHS = 3
# As many alone, at whatever frames: a video may kill now here, now there. Deaths of a worker that is its own driver do
# not count so: whether its machine was preempted, nobody is left to say.
MAX_DEATHS_ANYWHERE = 6
# Attempts at a shard that ended with their driver, before what they had in hand is suspected: most were killed with it.
# From then on the videos are kept one by one, so that the shard comes to its end however often that is.
MAX_DRIVER_ENDS = 2
# Where so many videos are condemned and not one was labelled, the teachers are the cause.
MAX_CONDEMNED = 5
# The run of a worker that is its own driver: when one dies so does the other.
IN_PROCESS = "in-process"


@dataclass(frozen=True)
class Condemned:
    """A video that is not to be labelled: in how many attempts it did harm, and which."""

    attempts: int
    reason: Reason
    message: str


@dataclass(frozen=True)
class JournalHistory:
    """What earlier attempts at a shard say of its videos.

    Attributes:
        suspects: videos that an attempt ended badly with, not passed since: to be labelled alone, before all others.
        condemned: videos that are the cause of so many bad ends that they are not to be labelled.
        num_explained: bad ends that condemned videos answer for, or that came after other videos were kept, or will
            come to a verdict: all with one video alone in the teachers.
        ended: the last attempt ended with its machine or by a signal, as it says itself.
        any_passed: the teachers are known to be done with some video.
        in_hand: videos that the last attempt ended with.
    """

    suspects: frozenset[str] = frozenset()
    condemned: dict[str, Condemned] = field(default_factory=dict)
    num_explained: int = 0
    ended: bool = False
    any_passed: bool = False
    in_hand: tuple[str, ...] = field(default=(), compare=False)

    @property
    def blames_teachers(self) -> bool:
        """Whether so many videos are condemned, and none passed, that they are not to blame."""
        return len(self.condemned) >= MAX_CONDEMNED and not self.any_passed


@dataclass
class Attempt:
    """One attempt at a shard, as its journal has it."""

    run: str
    name: str = ""
    # Its process had labelled nothing before.
    is_fresh: bool = True
    # The last line: videos in hand, whether the only one was alone on purpose, its frames given to the teachers.
    in_hand: list[str] = field(default_factory=list)
    alone: bool = False
    frames: int = 0
    seen: set[str] = field(default_factory=set)
    blameless: bool = False
    # It was said what ended it: a hang, an error. A death is silent.
    has_spoken: bool = False
    harm: tuple[Reason, str] = (Reason.CRASHED, "a worker died labelling it")

    @property
    def tells(self) -> bool:
        """Whether its bad end says something of the one video in hand, and not of what came before."""
        # An error came right after plain frames that raised none, in the same process.
        is_fresh = self.is_fresh or self.harm[0] is Reason.TEACHER_FAILED
        return self.alone and is_fresh and len(self.seen) == 1


@dataclass
class _Record:
    """The bad ends of one video: those in a row that agree, those that count anywhere, the last one's frame.

    Those count anywhere, at whatever frames they were, of which it is known that the machine was there.
    """

    is_suspect: bool = False
    agreeing: int = 0
    anywhere: int = 0
    place: int | None = None
    harm: tuple[Reason, str] = (Reason.CRASHED, "")

    def add(self, attempt: Attempt) -> None:
        """Count an attempt that ended badly with the video in hand."""
        self.is_suspect = True
        self.harm = attempt.harm
        if not attempt.tells:
            return
        self.anywhere += attempt.run != IN_PROCESS or attempt.has_spoken
        # At another frame than the last time, what does the harm may not be there.
        self.agreeing = self.agreeing + 1 if self.place in (None, attempt.frames) else 1
        self.place = attempt.frames

    @property
    def condemned(self) -> Condemned | None:
        """The verdict, where there is one."""
        attempts = self.agreeing if self.agreeing >= MAX_DEATHS else self.anywhere
        if self.agreeing < MAX_DEATHS and self.anywhere < MAX_DEATHS_ANYWHERE:
            return None
        reason, message = self.harm
        return Condemned(attempts, reason, f"{message}, in each of {attempts} attempts")


def judge(attempts: Sequence[Attempt], run: str) -> JournalHistory:
    """Say what earlier attempts tell of a shard's videos.

    Args:
        attempts: in order.
        run: the run that asks: the death of another run's last attempt came with its driver's.
    """
    records: dict[str, _Record] = {}
    any_passed = False
    ended_badly: list[Attempt] = []
    num_driver_ends = 0
    for number, attempt in enumerate(attempts):
        passed = attempt.seen.difference(attempt.in_hand)
        any_passed |= bool(passed)
        for video_id in passed:
            records.pop(video_id, None)
        if attempt.blameless:
            continue
        following = attempts[number + 1].run if number + 1 < len(attempts) else run
        in_hand = [records.setdefault(video_id, _Record()) for video_id in attempt.in_hand]
        if attempt.run == following:
            ended_badly.append(attempt)
            for record in in_hand:
                record.add(attempt)
        else:
            num_driver_ends += 1
            for record in in_hand:
                record.is_suspect |= num_driver_ends >= MAX_DRIVER_ENDS
    condemned = {video_id: verdict for video_id, record in records.items() if (verdict := record.condemned)}
    return JournalHistory(
        suspects=frozenset(name for name, record in records.items() if record.is_suspect and name not in condemned),
        condemned=condemned,
        num_explained=sum(attempt.alone or not condemned.keys().isdisjoint(attempt.in_hand) for attempt in ended_badly),
        ended=bool(attempts) and attempts[-1].blameless,
        any_passed=any_passed,
        in_hand=tuple(attempts[-1].in_hand) if attempts else (),
    )
