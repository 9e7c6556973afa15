"""Finding a data set's manifest in a workspace."""

import difflib

from manifests import VideoRecord, read_manifest
from manifests.catalogue import VIDEO_DATASETS
from pipeline.errors import ManifestError, UnknownDatasetError
from pipeline.store import find_files, local_copy
from pipeline.workspace import Workspace


def load_split(workspace: Workspace, dataset: str, split: str | None) -> list[VideoRecord]:
    """Read the videos of one split, or with None all; see `load_dataset`.

    Raises:
        ManifestError: no such split, or no video at all.
    """
    records = load_dataset(workspace, dataset)
    chosen = [record for record in records if split in (None, record.split)]
    if not chosen:
        known = ", ".join(sorted({record.split for record in records})) or "no video"
        raise ManifestError(f"data set {dataset} has no video in split {split!r}; its manifest has {known}")
    return chosen


def load_dataset(workspace: Workspace, dataset: str) -> list[VideoRecord]:
    """Read a data set's manifest.

    Raises:
        UnknownDatasetError: no such data set in the catalogue or the workspace; the message gives the nearest name.
        ManifestError: no manifest was built yet, or it is malformed.
    """
    path = workspace.manifest_path(dataset)
    with local_copy(path) as local_path:
        if local_path.exists():
            return read_manifest(local_path)
    if dataset in VIDEO_DATASETS:
        raise ManifestError(
            f"data set {dataset} has no manifest in {workspace.root}; "
            f"run kinet-pipeline manifest build {dataset} --videos DIR"
        )
    known = sorted(
        {*VIDEO_DATASETS, *(found.stem for found in find_files(path.parent, "*.csv") if "." not in found.stem)}
    )
    nearest = difflib.get_close_matches(dataset, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
    raise UnknownDatasetError(f"unknown data set {dataset!r}; {hint} (your own: kinet-pipeline manifest build folder)")
