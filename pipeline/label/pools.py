"""Choosing where the workers run."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.label.local import LocalPool
from pipeline.label.product import Product
from pipeline.label.settings import ClusterSettings, LabelSettings
from pipeline.label.worker_pool import WorkerPool


@contextlib.contextmanager
def open_pool(
    product: Product, settings: LabelSettings, shards_dir: Path, cluster: ClusterSettings | None
) -> Iterator[WorkerPool]:
    """Open the workers: on Ray, or with `cluster` None in this process, which then never imports Ray."""
    if cluster is None:
        with LocalPool(product, settings, shards_dir) as local:
            yield local
        return
    from pipeline.label.cluster import RayPool

    # Ray prints to stdout when a worker dies; that place belongs to the command's own result.
    with contextlib.redirect_stdout(sys.stderr), RayPool(product, settings, shards_dir, cluster) as on_ray:
        yield on_ray
