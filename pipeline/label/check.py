"""Verifying a data set's shards against its plan."""

from collections.abc import Sequence
from pathlib import Path

from manifests import VideoRecord
from pipeline.errors import WorkspaceError
from pipeline.label.plan import read_plan
from pipeline.shards import DatasetReport, ExpectedShard, verify_dataset


def check_shards(
    shards_dir: Path, dataset: str, records: Sequence[VideoRecord], *, jobs: int | None = None
) -> DatasetReport:
    """Check every planned shard; see `pipeline.shards.verify_dataset`.

    Raises:
        WorkspaceError: labelling has not begun.
        PlanError: the manifest changed since.
    """
    plan = read_plan(shards_dir, dataset, records)
    if plan is None:
        raise WorkspaceError(f"labelling of {dataset} has not begun; run kinet-pipeline label --dataset {dataset}")
    expected = [ExpectedShard(shard.name, tuple(r.video_id for r in shard.records)) for shard in plan.shards]
    return verify_dataset(shards_dir, expected, fingerprint=plan.fingerprint, jobs=jobs)
