"""Make sure, before a data set is settled, that this machine sees its videos."""

import os
from collections.abc import Sequence

from manifests import VideoRecord
from pipeline.errors import ManifestError, WorkspaceError
from pipeline.label.plan import common_folder
from pipeline.video_disk import Witnesses, find_witnesses


def require_videos(dataset: str, records: Sequence[VideoRecord]) -> Witnesses:
    """Refuse to settle a whole data set as missing because a disk is not mounted, or an empty one as done.

    Returns:
        Videos that are there, for the workers to tell a missing file from a missing disk.

    Raises:
        ManifestError: no video is listed.
        WorkspaceError: the videos' folder is not there, or not one of the videos that were looked for.
    """
    if not records:
        raise ManifestError(f"the manifest of {dataset} lists no video; run kinet-pipeline manifest build")
    folder = common_folder(records)
    if not os.path.isdir(folder):  # noqa: PTH112 - it is text
        raise WorkspaceError(f"the folder of the videos, {folder}, does not exist; is its disk mounted?")
    witnesses = find_witnesses([str(record.path) for record in records])
    if not witnesses.paths:
        raise WorkspaceError(
            f"the folder of the videos, {folder}: of the {len(records)} videos listed, those that were looked for "
            "cannot be read; is its disk mounted?"
        )
    return witnesses
