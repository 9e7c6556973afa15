"""One piece of work for a labelling worker."""

import uuid
from dataclasses import dataclass, field

from manifests import VideoRecord
from pipeline.label.plan import PlannedShard
from pipeline.shards import ShardHeader
from pipeline.video_disk import NO_WITNESSES, Witnesses


def name_attempt() -> str:
    """Make a name that no other attempt at a shard has."""
    return uuid.uuid4().hex[:12]


@dataclass(frozen=True)
class ShardTask:
    """A shard to label, or to label again in part.

    Attributes:
        shard: which videos, in which order.
        header: of its file.
        again: None to label every video; else the videos to try again, while the rows of all others are taken over
            from the committed file.
        witnesses: videos by which a worker tells a missing file from a missing disk.
        is_copy: its journal and pieces have names of their own, for another worker is, or was, at the same shard.
        then: the videos that the worker will most likely be given after these, in their order; it may begin to decode
            them while it ends this shard.
        attempt: names this attempt at the shard in its journal, its receipt and its files.
    """

    shard: PlannedShard
    header: ShardHeader
    again: frozenset[str] | None = None
    witnesses: Witnesses = NO_WITNESSES
    is_copy: bool = False
    then: tuple[VideoRecord, ...] = ()
    attempt: str = field(default_factory=name_attempt, compare=False)

    @property
    def name(self) -> str:
        """The shard's."""
        return self.shard.name

    @property
    def to_decode(self) -> tuple[VideoRecord, ...]:
        """The videos that are decoded for it, but those whose end is known already."""
        again = self.again
        return tuple(record for record in self.shard.records if again is None or record.video_id in again)
