"""Videos that the annotations of a data set name and its copy does not have; a split's figures are bounded by them."""

import csv
import logging

from manifests.draft import MissingReason
from manifests.record import VideoRecord
from pipeline.errors import ManifestError
from pipeline.local_copies import local_copy
from pipeline.workspace import Workspace
from student.dataset import DroppedVideo

logger = logging.getLogger(__name__)

# The other reasons are of files that belong to no split's figures: without a class, or a second copy.
_COUNTED = (MissingReason.MISSING, MissingReason.EMPTY_FILE, MissingReason.NAME_NOT_UTF8)


def list_absent(
    workspace: Workspace, manifest: list[VideoRecord], dataset: str, split: str, fold: int
) -> tuple[DroppedVideo, ...] | None:
    """List the videos of a split that `manifest build` found no usable file of; None where that cannot be known.

    A list that an older version wrote says their split in the first fold alone: for another fold nothing is known
    where it names any video, and a warning says how many.

    Raises:
        ManifestError: the list is malformed.
    """
    path = workspace.manifest_path(dataset).with_name(f"{dataset}.missing.csv")
    with local_copy(path) as local_path:
        if not local_path.exists():
            return ()
        try:
            with local_path.open(encoding="utf-8", newline="") as file:
                rows = [
                    (
                        row["video_id"],
                        row["path"],
                        row["split"] if fold == 1 else row.get(f"split_{fold}"),
                        row["reason"],
                    )
                    for row in csv.DictReader(file)
                ]
        except (OSError, KeyError, ValueError, csv.Error) as error:
            raise ManifestError(
                f"{path}: not a list of missing videos ({error!r}); build the manifest again"
            ) from error
    there = {record.video_id for record in manifest}
    absent = [row for row in rows if row[3] in _COUNTED and row[0] not in there]
    num_unknown = sum(not found_split for _, _, found_split, _ in absent)
    if num_unknown:
        logger.warning(
            "%s does not say in which split of fold %d its %d videos without a file are: how many are missing stays "
            "unknown; build the manifest again", path, fold, num_unknown
        )  # fmt: skip
        return None
    return tuple(
        DroppedVideo(video_id, reason, f"{expected_path}: not in the manifest")
        for video_id, expected_path, found_split, reason in absent
        if found_split == split
    )
