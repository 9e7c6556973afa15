"""What an estimate says, for people and for programs."""

from dataclasses import dataclass
from typing import Any

from pipeline.label.bottleneck import Bottleneck
from pipeline.label.description import WorkerResources
from pipeline.label.forecast import RANGE_LEVEL, Figure, Forecast
from pipeline.label.spoken import BYTE_UNITS, COUNT_UNITS, TIME_UNITS, speak_figure


@dataclass(frozen=True)
class Estimate:
    """What a sample says of the whole.

    Attributes:
        videos, unprobed_videos: of the whole; of those that were not probed, the frames are the sample's average.
        sample_videos: labelled to their end, or quarantined.
        sample_frames, sample_groups, sample_sec: labelled, in how many small shards, those not finished included, how
            long.
        time_was_up: before the sample was done.
        resources: the workers.
        forecast: for the whole.
        bottleneck: what bounded the sample's speed.
        too_high: why the forecast of hours is, and the way out; None where the sample told a shard's own cost.
    """

    videos: int
    unprobed_videos: int
    sample_videos: int
    sample_frames: int
    sample_groups: int
    sample_sec: float
    time_was_up: bool
    resources: WorkerResources
    forecast: Forecast
    bottleneck: Bottleneck | None
    too_high: str | None

    @property
    def device_hours(self) -> tuple[str, Figure]:
        """GPU-hours where the workers hold GPUs, else CPU-hours: what stands reserved, not what is busy."""
        num_gpus, num_cpus = self.resources.gpus_per_worker, self.resources.cpus_per_worker
        unit, each = ("gpu_hours", num_gpus) if num_gpus else ("cpu_hours", float(num_cpus))
        return unit, Figure(*(None if hours is None else hours * each for hours in self.forecast.worker_hours))  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``estimate --json``."""
        unit, device_hours = self.device_hours
        return {
            "videos": self.videos,
            "unprobed_videos": self.unprobed_videos,
            "workers": self.resources.num_workers,
            "frames": _rounded(self.forecast.frames, 0),
            "hours": _rounded(self.forecast.hours, 4),
            unit: _rounded(device_hours, 4),
            "bytes": None if self.forecast.shard_bytes is None else _rounded(self.forecast.shard_bytes, 0),
            "range_level": RANGE_LEVEL,
            "bottleneck": None if self.bottleneck is None else vars(self.bottleneck),
            "too_high": self.too_high,
            "sample": {
                "videos": self.sample_videos,
                "frames": self.sample_frames,
                "groups": self.sample_groups,
                "seconds": round(self.sample_sec, 3),
                "time_was_up": self.time_was_up,
            },
        }

    def as_text(self) -> str:
        """Return a few lines for people."""
        unit, device_hours = self.device_hours
        device = unit.removesuffix("_hours").upper()
        unprobed = f"{self.unprobed_videos:,} videos not probed" if self.unprobed_videos else "probed"
        share = self.sample_videos / self.videos
        shard_bytes = self.forecast.shard_bytes
        on_disk = "unknown: no shard was finished; give more --sample-sec"
        too_high = [f"too high   {self.too_high}"] if self.too_high else []
        return "\n".join(
            [
                f"time       {speak_figure(self.forecast.hours, TIME_UNITS)}, workers: {self.resources.num_workers}",
                f"{device} time   {speak_figure(device_hours, TIME_UNITS, of=f'{device}-')}",
                f"on disk    {on_disk if shard_bytes is None else speak_figure(shard_bytes, BYTE_UNITS)}",
                f"frames     {speak_figure(self.forecast.frames, COUNT_UNITS)}, {unprobed}",
                f"bound by   {self.bottleneck.text if self.bottleneck else 'unknown: no shard was finished'}",
                f"from       {self.sample_videos:,} of {self.videos:,} videos ({share:.2%}), {self.sample_frames:,} "
                f"frames, in {self.sample_groups} groups and {self.sample_sec:.0f} s"
                + (", then time was up" if self.time_was_up else ""),
                f"ranges     {_range_text(self.sample_groups, self.forecast)}",
                *too_high,
            ]
        )


def _rounded(figure: Figure, digits: int) -> dict[str, float | None]:
    return {name: None if value is None else round(value, digits) for name, value in figure._asdict().items()}


def _range_text(num_groups: int, whole: Forecast) -> str:
    if whole.hours.low is None:
        return f"none: {num_groups} groups are too few; label a larger sample"
    return (
        f"the middle {RANGE_LEVEL:.0%} of a bootstrap over the {num_groups} groups: what other samples of this size "
        "would say on these machines, not what faults or a busier cluster add"
    )
