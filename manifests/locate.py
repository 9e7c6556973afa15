"""Listed clips matched with the files of a folder."""

from collections.abc import Sequence
from dataclasses import replace

from manifests.draft import ManifestDraft, MissingReason, MissingVideo, make_draft
from manifests.folder_index import FolderIndex
from manifests.record import VideoRecord


def locate_clips(records: Sequence[VideoRecord], index: FolderIndex) -> ManifestDraft:
    """Replace each listed path (``class/clip.suffix``) by the file of the same stem, whatever its container."""
    candidates: list[VideoRecord] = []
    missing: list[MissingVideo] = []
    for record in records:
        found_path = index.find(record.path.stem, record.path.parts[:-1])
        if found_path is None:
            missing.append(MissingVideo.of(replace(record, path=index.root / record.path), MissingReason.MISSING))
        else:
            candidates.append(replace(record, path=found_path))
    return make_draft(candidates, missing)
