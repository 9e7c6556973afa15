"""One piece of work for a labelling worker."""

from dataclasses import dataclass

from manifests import VideoRecord
from pipeline.label.plan import PlannedShard
from pipeline.shards import ShardHeader
from pipeline.video_disk import NO_WITNESSES, Witnesses


@dataclass(frozen=True)
class ShardTask:
    """A shard to label, or to label again in part.

    Attributes:
        shard: which videos, in which order.
        header: of its file.
        again: None to label every video; else the videos to try again, while the rows of all others are taken over
            from the committed file.
        witnesses: videos by which a worker tells a missing file from a missing disk.
        is_copy: another worker is at the same shard, late.
        then: the videos that the worker will most likely be given after these, in their order; it may begin to decode
            them while it ends this shard.
    """

    shard: PlannedShard
    header: ShardHeader
    again: frozenset[str] | None = None
    witnesses: Witnesses = NO_WITNESSES
    is_copy: bool = False
    then: tuple[VideoRecord, ...] = ()

    @property
    def name(self) -> str:
        """The shard's."""
        return self.shard.name

    @property
    def to_decode(self) -> tuple[VideoRecord, ...]:
        """The videos that are decoded for it, but those whose end is known already."""
        again = self.again
        return tuple(record for record in self.shard.records if again is None or record.video_id in again)
