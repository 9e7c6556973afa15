"""One piece of work for a labelling worker."""

from dataclasses import dataclass

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
    """

    shard: PlannedShard
    header: ShardHeader
    again: frozenset[str] | None = None
    witnesses: Witnesses = NO_WITNESSES
    is_copy: bool = False

    @property
    def name(self) -> str:
        """The shard's."""
        return self.shard.name
