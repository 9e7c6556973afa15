"""What became of every planned video, from the receipts alone."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from manifests.manifest import collection_paused
from pipeline.errors import ShardError
from pipeline.label.bottleneck import Bottleneck, find_bottleneck
from pipeline.shards import Receipt
from pipeline.shards.receipts import Outcome, read_all_receipts
from pipeline.shards.repair_hint import repair_hint


class CountedShard(Protocol):
    """What is counted of a planned shard: a `PlannedShard`, or its outline."""

    @property
    def name(self) -> str: ...

    @property
    def num_videos(self) -> int: ...


@dataclass(frozen=True)
class LabelStatus:
    """The state of a labelling job; planned = ok + partial + quarantined + missing, always.

    Attributes:
        planned: videos.
        ok, partial, quarantined: settled videos; a partial one has labels for the frames that decode.
        missing: videos whose shard is not committed.
        frames: labelled frames in committed shards.
        shards, planned_shards: committed and planned.
        reasons: partial and quarantined videos by typed reason.
        partial_reasons, quarantined_reasons: the same, told apart.
        seconds: that workers took for the committed shards.
        stage_seconds: of those, by stage.
        is_flow: it is flow that is made, and no labels.
    """

    planned: int
    ok: int
    partial: int
    quarantined: int
    missing: int
    frames: int
    shards: int
    planned_shards: int
    reasons: dict[str, int]
    partial_reasons: dict[str, int] = field(default_factory=dict)
    quarantined_reasons: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    is_flow: bool = False

    @property
    def bottleneck(self) -> Bottleneck | None:
        """What bounds the speed; None where nothing was timed yet, or no frame was done: the rest tells nothing."""
        return find_bottleneck(self.seconds, self.stage_seconds) if self.frames else None

    @property
    def frames_word(self) -> str:
        """What the frames are called that are done, in lines for people."""
        return "frames of flow" if self.is_flow else "frames labelled"

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``status --json``."""
        return {
            "planned": self.planned,
            "ok": self.ok,
            "partial": self.partial,
            "quarantined": self.quarantined,
            "missing": self.missing,
            "frames": self.frames,
            "shards": self.shards,
            "planned_shards": self.planned_shards,
            "reasons": self.reasons,
            "partial_reasons": self.partial_reasons,
            "quarantined_reasons": self.quarantined_reasons,
            "worker_seconds": round(self.seconds, 3),
            "stage_seconds": {stage: round(seconds, 3) for stage, seconds in self.stage_seconds.items()},
            "bottleneck": dataclasses.asdict(self.bottleneck) if self.bottleneck else None,
        }

    def as_text(self) -> str:
        """Return a few lines for people."""
        lines = [
            f"planned     {self.planned:>9,} videos in {self.planned_shards:,} shards ({self.shards:,} committed)",
            f"ok          {self.ok:>9,}   {self.frames:,} {self.frames_word}",
            f"partial     {self.partial:>9,}",
            *_reason_lines(self.partial_reasons),
            f"quarantined {self.quarantined:>9,}",
            *_reason_lines(self.quarantined_reasons),
            f"missing     {self.missing:>9,}",
        ]
        if self.bottleneck:
            lines.append(f"bottleneck  {self.bottleneck.text}")
        return "\n".join(lines)


def _reason_lines(reasons: dict[str, int]) -> list[str]:
    return [f"            {count:>9,}   {reason}" for reason, count in sorted(reasons.items())]


def read_receipts(shards_dir: Path, shards: Iterable[CountedShard], fingerprint: str) -> dict[str, Receipt]:
    """Read the receipts of all committed shards, by shard name.

    Raises:
        ShardError: a receipt is damaged, or belongs to other labels than the plan's.
    """
    with collection_paused():
        found = read_all_receipts(shards_dir, {shard.name for shard in shards})
    for name, receipt in found.items():
        if receipt.fingerprint != fingerprint:
            raise ShardError(
                f"shard {name}: its receipt has fingerprint {receipt.fingerprint[:12]}, the plan "
                f"{fingerprint[:12]}; {repair_hint(shards_dir / name)}"
            )
    return found


def summarise(shards: Sequence[CountedShard], receipts: dict[str, Receipt], *, is_flow: bool = False) -> LabelStatus:
    """Count what the receipts say of the planned shards, which are of labels or of flow."""
    outcomes: Counter[Outcome] = Counter()
    reasons: dict[Outcome, Counter[str]] = {"partial": Counter(), "quarantined": Counter()}
    stage_seconds: Counter[str] = Counter()
    seconds = 0.0
    frames = missing = committed = 0
    for shard in shards:
        receipt = receipts.get(shard.name)
        if receipt is None:
            missing += shard.num_videos
            continue
        committed += 1
        frames += receipt.frames
        seconds += receipt.seconds
        stage_seconds.update(receipt.stage_seconds)
        for entry in receipt.outcomes:
            outcomes[entry.outcome] += 1
            if entry.reason is not None:
                reasons[entry.outcome][entry.reason] += 1
    return LabelStatus(
        planned=sum(shard.num_videos for shard in shards),
        ok=outcomes["ok"],
        partial=outcomes["partial"],
        quarantined=outcomes["quarantined"],
        missing=missing,
        frames=frames,
        shards=committed,
        planned_shards=len(shards),
        reasons=dict(reasons["partial"] + reasons["quarantined"]),
        partial_reasons=dict(reasons["partial"]),
        quarantined_reasons=dict(reasons["quarantined"]),
        seconds=seconds,
        stage_seconds=dict(stage_seconds),
        is_flow=is_flow,
    )


class Tally:
    """Count the settled videos of some shards while receipts come in; a receipt costs what it holds, not the plan.

    Args:
        shards: that are counted.
        receipts: of those that are committed, by shard name.
        num_again: how many videos of committed shards are tried again, by shard name: they are settled by the shard's
            next receipt.

    Attributes:
        planned, settled: videos.
        quarantined, partial: videos that the receipts say this of, to be tried again or not.
    """

    def __init__(
        self, shards: Iterable[CountedShard], receipts: dict[str, Receipt], num_again: Mapping[str, int] | None = None
    ) -> None:
        self._num_again = dict(num_again or {})
        self.planned = self.quarantined = self.partial = 0
        self.settled = -sum(self._num_again.values())
        for shard in shards:
            self.planned += shard.num_videos
            if shard.name in receipts:
                self._count(receipts[shard.name], 1)

    def add(self, receipt: Receipt, before: Receipt | None) -> None:
        """Count a receipt in place of the shard's former one."""
        self.settled += self._num_again.pop(receipt.shard, 0)
        self._count(receipt, 1)
        if before is not None:
            self._count(before, -1)

    def _count(self, receipt: Receipt, sign: int) -> None:
        self.settled += sign * len(receipt.outcomes)
        self.quarantined += sign * sum(entry.outcome == "quarantined" for entry in receipt.outcomes)
        self.partial += sign * sum(entry.outcome == "partial" for entry in receipt.outcomes)
