"""Figures of a running job for Ray's Prometheus endpoint, kept by the workers; never a reason for a run to fail."""

from typing import Protocol

from pipeline.shards import Receipt


class WorkerMetrics(Protocol):
    """What a worker tells of its work."""

    def add_frames(self, num_frames: int) -> None:
        """Count frames labelled, those of open shards included."""
        ...

    def add_shard(self, receipt: Receipt) -> None:
        """Count a committed shard: its videos by outcome, and its seconds by stage."""
        ...


class NoMetrics:
    """For a worker that runs without Ray."""

    def add_frames(self, num_frames: int) -> None:
        """Do nothing."""

    def add_shard(self, receipt: Receipt) -> None:
        """Do nothing."""


class RayMetrics:
    """Counters that every node's Ray agent serves; made in the worker, since they belong to its process.

    Ray exports a counter `ray_kinet_frames_total` and so on, with the worker and the node as tags.
    """

    def __init__(self) -> None:
        from ray.util.metrics import Counter

        self._frames = Counter("kinet_frames", description="Frames labelled.")
        self._shards = Counter("kinet_shards", description="Shards committed.")
        self._videos = Counter("kinet_videos", description="Videos settled, by outcome.", tag_keys=("outcome",))
        self._seconds = Counter(
            "kinet_stage_seconds", description="Seconds of the workers, by stage.", tag_keys=("stage",)
        )

    def add_frames(self, num_frames: int) -> None:
        """Count frames labelled, those of open shards included."""
        if num_frames > 0:  # Ray refuses to add nothing.
            self._frames.inc(num_frames)

    def add_shard(self, receipt: Receipt) -> None:
        """Count a committed shard: its videos by outcome, and its seconds by stage."""
        self._shards.inc()
        for entry in receipt.outcomes:
            self._videos.inc(tags={"outcome": entry.outcome})
        for stage, seconds in receipt.stage_seconds.items():
            if seconds > 0:
                self._seconds.inc(seconds, tags={"stage": stage})
