"""What ``verify`` does, with progress on stderr: check the shards, repair the bad ones, label a sample again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from pipeline.commands.labelling import choose_begun_teachers, choose_product, choose_settings, run_labelling, watch
from pipeline.commands.labelling_options import LabellingChoice
from pipeline.workspace import Workspace

if TYPE_CHECKING:
    from manifests import VideoRecord
    from pipeline.label.check import LabelCheck
    from pipeline.label.sets import LabelSet


@dataclass(frozen=True)
class CheckedSet:
    """What is verified, and how.

    Attributes:
        dataset, records: of the manifest.
        labels: the set of shards.
        strict: whether labels that look like a broken teacher's are faults.
        jobs: checking processes; None is one a core.
    """

    dataset: str
    records: Sequence[VideoRecord]
    labels: LabelSet
    strict: bool
    jobs: int | None


def check_set(checked: CheckedSet, choice: LabellingChoice) -> LabelCheck:
    """Check every shard."""
    from pipeline.label.check import check_shards

    labels, strict, jobs = checked.labels, checked.strict, checked.jobs
    with watch(f"verify {checked.dataset}", "shards", choice) as display:
        return check_shards(labels, checked.dataset, checked.records, strict=strict, jobs=jobs, on_shard=display.show)


def repair_bad(checked: CheckedSet, check: LabelCheck, workspace: Workspace, choice: LabellingChoice) -> LabelCheck:
    """Label the bad shards again and check them, and no other, once more."""
    from pipeline.label.check import check_again
    from pipeline.label.goals import RedoShards
    from pipeline.label.job import LabelJob
    from pipeline.label.sets import require_plan

    for shard in check.shards.bad:
        click.echo(f"{shard.name}: {shard.faults[0].message}; to be labelled again", err=True)
    folder, names = checked.labels.shards_dir, frozenset(shard.name for shard in check.shards.bad)
    plan = require_plan(checked.labels, checked.dataset, checked.records)
    job = LabelJob(checked.dataset, checked.records, folder, goal=RedoShards(names))
    run_labelling(job, choose_product(workspace, choice, checked.labels, plan), choice)
    way_out = "the bad shards were labelled again; run kinet-pipeline verify to check them"
    with watch(f"verify {checked.dataset}", "shards", choice, way_out) as display:
        return check_again(check, folder, plan, only=names, jobs=checked.jobs, on_shard=display.show)


def label_sample(
    checked: CheckedSet, check: LabelCheck, workspace: Workspace, choice: LabellingChoice, num_frames: int, seed: int
) -> LabelCheck:
    """Label random frames of the whole shards again in this process, and compare."""
    from pipeline.label.recheck import recheck_frames
    from pipeline.label.sets import require_plan

    folder, bad = checked.labels.shards_dir, frozenset(shard.name for shard in check.shards.bad)
    plan = require_plan(checked.labels, checked.dataset, checked.records)
    teachers, settings = choose_begun_teachers(workspace, choice, checked.labels, plan), choose_settings(choice, folder)
    with watch(f"sample {checked.dataset}", "frames", choice) as display:
        sample = recheck_frames(
            folder,
            plan,
            checked.records,
            teachers,
            settings,
            num_frames=num_frames,
            seed=seed,
            left_out=bad,
            on_frames=display.show,
        )
    return dataclasses.replace(check, sample=sample)
