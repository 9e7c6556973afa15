"""Choosing where the workers run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.label.job import WorkerPool
from pipeline.label.local import LocalPool
from pipeline.label.settings import ClusterSettings, LabelSettings, TeacherSettings


@contextmanager
def open_pool(
    teachers: TeacherSettings, settings: LabelSettings, shards_dir: Path, cluster: ClusterSettings | None
) -> Iterator[WorkerPool]:
    """Open the workers: on Ray, or with `cluster` None in this process, which then never imports Ray."""
    if cluster is None:
        with LocalPool(teachers, settings, shards_dir) as local:
            yield local
        return
    from pipeline.label.cluster import RayPool

    with RayPool(teachers, settings, shards_dir, cluster) as on_ray:
        yield on_ray
