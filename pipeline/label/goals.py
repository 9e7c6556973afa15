"""What a labelling job is for: labels that are missing, faulty videos once more, or bad shards again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from pipeline.label.plan import Plan, PlannedShard
from pipeline.shards import Receipt
from pipeline.shards.receipts import Outcome, VideoOutcome
from pipeline.shards.verification import set_aside, verify_shard


class Goal(Protocol):
    """What a job is to do.

    Attributes:
        told_by_receipts: whether the receipts alone say that nothing is left to do.
    """

    told_by_receipts: ClassVar[bool]

    def make_way(self, shards_dir: Path, plan: Plan) -> None:
        """Set aside what is to be made again; called once nobody else writes."""
        ...

    def choose(
        self, shards: Sequence[PlannedShard], receipts: Mapping[str, Receipt]
    ) -> Iterator[tuple[PlannedShard, frozenset[str] | None]]:
        """Choose shards, each with the videos to try again, or None for all of them."""
        ...


@dataclass(frozen=True)
class LabelMissing:
    """Label the shards that are not committed."""

    told_by_receipts: ClassVar[bool] = True

    def make_way(self, shards_dir: Path, plan: Plan) -> None:
        """Do nothing."""

    def choose(
        self, shards: Sequence[PlannedShard], receipts: Mapping[str, Receipt]
    ) -> Iterator[tuple[PlannedShard, frozenset[str] | None]]:
        """Choose every shard without a receipt."""
        return ((shard, None) for shard in shards if shard.name not in receipts)


@dataclass(frozen=True)
class RetryVideos:
    """Try videos of committed shards again that have no labels, or not all of them.

    Attributes:
        reasons: of the videos to try, quarantined or partial; empty for all that are quarantined.
        only_partial: of these, the partial ones; without reasons, all partial ones.
    """

    told_by_receipts: ClassVar[bool] = True
    reasons: frozenset[str] = frozenset()
    only_partial: bool = False

    def make_way(self, shards_dir: Path, plan: Plan) -> None:
        """Do nothing: a shard stays until its better one is made."""

    def choose(
        self, shards: Sequence[PlannedShard], receipts: Mapping[str, Receipt]
    ) -> Iterator[tuple[PlannedShard, frozenset[str] | None]]:
        """Choose the committed shards that have such videos, those tried least often first, else in the plan's order.

        Attempts add up, so runs that are killed again and again come round to every shard.
        """
        chosen = []
        for shard in shards:
            again = self._videos_again(receipts[shard.name]) if shard.name in receipts else []
            if again:
                fewest_attempts = min(entry.attempts for entry in again)
                chosen.append((fewest_attempts, shard, frozenset(entry.video_id for entry in again)))
        return ((shard, again) for _, shard, again in sorted(chosen, key=lambda entry: entry[0]))

    def _videos_again(self, receipt: Receipt) -> list[VideoOutcome]:
        outcomes = self._outcomes()
        return [
            entry
            for entry in receipt.outcomes
            if entry.outcome in outcomes and (not self.reasons or entry.reason in self.reasons)
        ]

    def _outcomes(self) -> frozenset[Outcome]:
        if self.only_partial:
            return frozenset({"partial"})
        return frozenset({"partial", "quarantined"} if self.reasons else {"quarantined"})


@dataclass(frozen=True)
class RedoShards:
    """Set bad shards aside and label them again, and nothing else.

    Attributes:
        names: of committed shards that were found bad.
    """

    told_by_receipts: ClassVar[bool] = False
    names: frozenset[str]

    def make_way(self, shards_dir: Path, plan: Plan) -> None:
        """Set those aside that are still bad: another run may have replaced one since."""
        planned = {shard.name: [record.video_id for record in shard.records] for shard in plan.shards}
        for name in sorted(self.names):
            receipt_path = shards_dir / f"{name}.json"
            if name not in planned or verify_shard(receipt_path, fingerprint=plan.fingerprint, video_ids=planned[name]):
                set_aside(shards_dir, name)

    def choose(
        self, shards: Sequence[PlannedShard], receipts: Mapping[str, Receipt]
    ) -> Iterator[tuple[PlannedShard, frozenset[str] | None]]:
        """Choose those that have no receipt any more."""
        return ((shard, None) for shard in shards if shard.name in self.names and shard.name not in receipts)
