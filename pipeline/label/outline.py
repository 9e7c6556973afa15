"""A plan's shards without their videos: what `status` needs, without the seconds that 260,000 manifest rows take."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import OptionError
from pipeline.label.plan import fingerprint_of, read_plan_file
from pipeline.shards.schema import shard_name


@dataclass(frozen=True)
class ShardOutline:
    """A planned shard; see `PlannedShard`."""

    split: str
    index: int
    count: int
    num_videos: int

    @property
    def name(self) -> str:
        """File name without suffix."""
        return shard_name(self.split, self.index, self.count)


@dataclass(frozen=True)
class PlanOutline:
    """A plan without its videos; see `Plan`."""

    dataset: str
    fingerprint: str
    shards: tuple[ShardOutline, ...]

    def of_split(self, split: str | None) -> tuple[ShardOutline, ...]:
        """Return the shards of one split, or all; raise OptionError naming the splits there are."""
        chosen = tuple(shard for shard in self.shards if split in (None, shard.split))
        if not chosen:
            known = ", ".join(sorted({shard.split for shard in self.shards}))
            raise OptionError(f"data set {self.dataset} has no video in split {split!r}; its manifest has {known}")
        return chosen


def read_outline(shards_dir: Path, dataset: str, manifest_file: str | None) -> PlanOutline | None:
    """Read the outline of a plan that was made from this very manifest file, given as its hex SHA-256.

    None before the first start, and where the file is gone or another one: what it lists may be the same, which only
    its rows tell (`read_plan`).

    Raises:
        PlanError: the plan cannot be read.
    """
    file = read_plan_file(shards_dir)
    if file is None or file.manifest_file is None or file.manifest_file != manifest_file or file.shard_videos is None:
        return None
    shards = tuple(
        ShardOutline(split, index, len(sizes), num_videos)
        for split, sizes in file.shard_videos.items()
        for index, num_videos in enumerate(sizes)
    )
    return PlanOutline(dataset, fingerprint_of(file.ingredients), shards)
