"""Finding a data set's manifest in a workspace."""

import difflib
from collections.abc import Sequence

from manifests import VideoRecord, read_manifest
from manifests.catalogue import VIDEO_DATASETS
from pipeline.errors import ManifestError, OptionError, UnknownDatasetError
from pipeline.local_copies import local_copy
from pipeline.store import find_files, sha256_of_file
from pipeline.workspace import Workspace


def load_split(workspace: Workspace, dataset: str, split: str | None) -> list[VideoRecord]:
    """Read the videos of one split, or with None all; see `load_dataset`.

    Raises:
        OptionError: no such split.
        ManifestError: no video at all.
    """
    records = load_dataset(workspace, dataset)
    require_split(dataset, records, split)
    return [record for record in records if split in (None, record.split)]


def require_split(dataset: str, records: Sequence[VideoRecord], split: str | None) -> None:
    """Raise OptionError where a named split is not in the manifest, ManifestError where nothing is."""
    known = sorted({record.split for record in records})
    if not known:
        raise ManifestError(f"the manifest of {dataset} lists no video; run kinet-pipeline manifest build")
    if split is not None and split not in known:
        raise OptionError(f"data set {dataset} has no video in split {split!r}; its manifest has {', '.join(known)}")


def digest_manifest_file(workspace: Workspace, dataset: str) -> str | None:
    """Return the hex SHA-256 of a data set's manifest file; None where there is none."""
    try:
        return sha256_of_file(workspace.manifest_path(dataset))
    except FileNotFoundError:
        return None


def load_dataset(workspace: Workspace, dataset: str) -> list[VideoRecord]:
    """Read a data set's manifest.

    Raises:
        UnknownDatasetError: no such data set in the catalogue or the workspace; the message names the latter and the
            nearest name, or the manifests that are there.
        ManifestError: no manifest was built yet, or it is malformed.
    """
    path = workspace.manifest_path(dataset)
    with local_copy(path) as local_path:
        if local_path.exists():
            return read_manifest(local_path)
    fault = f"data set {dataset} has no manifest in {workspace.root}"
    if dataset in VIDEO_DATASETS:
        raise ManifestError(
            f"{fault}; run kinet-pipeline manifest build {dataset} --videos DIR, or give the --workspace that has one"
        )
    here = sorted(found.stem for found in find_files(path.parent, "*.csv") if "." not in found.stem)
    nearest = difflib.get_close_matches(dataset, sorted({*VIDEO_DATASETS, *here}), n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"manifests there: {', '.join(here) or 'none'}."
    raise UnknownDatasetError(
        f"{fault}; {hint} Give the --workspace that has one, or run "
        f"kinet-pipeline manifest build folder --videos DIR --name {dataset}"
    )
