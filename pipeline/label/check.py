"""Verifying a data set's shards against its plan, and its labels against common sense."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from manifests import VideoRecord
from pipeline.label.plan import Plan
from pipeline.label.recheck import SampleReport
from pipeline.label.sets import LabelSet, require_plan
from pipeline.shards import DatasetReport, ExpectedShard, find_oddities, sum_figures, verify_dataset


@dataclass(frozen=True)
class LabelCheck:
    """What a verification found.

    Attributes:
        shards: every planned shard's faults, and the figures of its labels.
        warnings: what in the labels looks like a broken teacher.
        sample: what the teachers say today of some frames; None where it was not asked for.
        strict: whether warnings count as faults.
    """

    shards: DatasetReport
    warnings: tuple[str, ...]
    sample: SampleReport | None = None
    strict: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be done."""
        sample_agrees = self.sample is None or not self.sample.mismatches
        return self.shards.ok and sample_agrees and not (self.strict and self.warnings)

    def as_json(self) -> dict[str, Any]:
        """Return the keys of ``verify --json``."""
        return {
            "shards": self.shards.shards,
            "bad": [{"shard": bad.name, "faults": [fault.message for fault in bad.faults]} for bad in self.shards.bad],
            "missing": list(self.shards.missing),
            "receipts_without_digest": list(self.shards.undigested),
            "ok": self.ok,
            "labels": sum_figures(self.shards.figures.values()).as_json(),
            "labels_by_shard": {name: figures.as_json() for name, figures in self.shards.figures.items()},
            "warnings": list(self.warnings),
            "sample": self.sample.as_json() if self.sample else None,
        }

    def as_text(self) -> str:
        """Return a few lines for people."""
        lines = [f"bad      {bad.name}: {'; '.join(fault.message for fault in bad.faults)}" for bad in self.shards.bad]
        lines += [f"missing  {name}" for name in self.shards.missing]
        lines += [f"warning  {warning}" for warning in self.warnings]
        if self.shards.undigested:
            lines.append(
                f"note     {len(self.shards.undigested)} receipts of an older program have no digest of their own"
            )
        counts = f"{len(self.shards.bad)} bad, {len(self.shards.missing)} missing"
        lines.append(f"{self.shards.shards} shards planned, {counts}")
        figures = sum_figures(self.shards.figures.values())
        lines.append(f"labels   {figures.frames:,} frames of {figures.videos:,} videos")
        if figures.masks:
            empty, full = figures.share(figures.empty_masks), figures.share(figures.full_masks)
            coverage = figures.share(figures.coverage)
            lines.append(f"masks    {empty:.1%} empty, {full:.1%} full, people cover {coverage:.1%} on average")
        if figures.scenes:
            entropy = figures.scene_entropy_bits
            lines.append(f"scenes   {len(figures.scenes)} classes as the best one, entropy {entropy:.2f} bits")
        if self.sample:
            lines.append(self.sample.as_text())
        return "\n".join(lines)

    def faults_text(self, dataset: str, labels: LabelSet) -> str:
        """Say what is wrong and the way out, where `ok` is false."""
        parts = [f"{len(self.shards.bad)} shards bad, {len(self.shards.missing)} missing"]
        way_out = labels.making(dataset)
        if self.shards.bad:
            way_out = f"verify --repair {labels.options(dataset)}"
        if self.shards.ok:
            parts = []
            way_out = f"status {labels.options(dataset)}, and see whether the teachers are the right ones"
        if self.sample and self.sample.mismatches:
            parts.append(f"{len(self.sample.mismatches)} sampled videos differ")
        if self.strict and self.warnings:
            parts.append(f"{len(self.warnings)} warnings")
        return f"{dataset}: {', '.join(parts)}; run kinet-pipeline {way_out}"


def check_shards(
    labels: LabelSet,
    dataset: str,
    records: Sequence[VideoRecord],
    *,
    strict: bool = False,
    jobs: int | None = None,
    on_shard: Callable[[int, int], None] = lambda _done, _of: None,
) -> LabelCheck:
    """Check every planned shard, and its labels; see `pipeline.shards.verify_dataset` and `require_plan`."""
    plan = require_plan(labels, dataset, records)
    report = verify_dataset(
        labels.shards_dir, _expected(plan), fingerprint=plan.fingerprint, jobs=jobs, on_shard=on_shard
    )
    return LabelCheck(report, tuple(find_oddities(report.figures)), strict=strict)


def check_again(
    before: LabelCheck,
    shards_dir: Path,
    plan: Plan,
    *,
    only: Collection[str],
    jobs: int | None = None,
    on_shard: Callable[[int, int], None] = lambda _done, _of: None,
) -> LabelCheck:
    """Check the shards of these names, which were labelled again, and bring what was found of the others up to date."""
    repaired = verify_dataset(
        shards_dir, _expected(plan), fingerprint=plan.fingerprint, only=only, jobs=jobs, on_shard=on_shard
    )
    report = before.shards.updated(repaired)
    return replace(before, shards=report, warnings=tuple(find_oddities(report.figures)))


def _expected(plan: Plan) -> list[ExpectedShard]:
    return [ExpectedShard(shard.name, tuple(record.video_id for record in shard.records)) for shard in plan.shards]
