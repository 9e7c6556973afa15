"""Finding a data set's manifest in a workspace."""

import difflib

from manifests import VideoRecord, read_manifest
from manifests.catalogue import VIDEO_DATASETS
from pipeline.errors import ManifestError, UnknownDatasetError
from pipeline.workspace import Workspace


def load_dataset(workspace: Workspace, dataset: str) -> list[VideoRecord]:
    """Read a data set's manifest.

    Raises:
        UnknownDatasetError: no such data set in the catalogue or the workspace; the message gives the nearest name.
        ManifestError: no manifest was built yet, or it is malformed.
    """
    path = workspace.manifest_path(dataset)
    if path.exists():
        return read_manifest(path)
    if dataset in VIDEO_DATASETS:
        raise ManifestError(
            f"data set {dataset} has no manifest in {workspace.root}; "
            f"run kinet-pipeline manifest build {dataset} --videos DIR"
        )
    known = sorted({*VIDEO_DATASETS, *(found.stem for found in path.parent.glob("*.csv") if "." not in found.stem)})
    nearest = difflib.get_close_matches(dataset, known, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known: {', '.join(known)}"
    raise UnknownDatasetError(f"unknown data set {dataset!r}; {hint} (your own: kinet-pipeline manifest build folder)")
