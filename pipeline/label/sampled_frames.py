"""How many frames a sample's videos have, those too that were not labelled to their end."""

from collections.abc import Mapping, Sequence

from manifests import VideoRecord
from pipeline.label.shard_sizes import HEADERS_SEC
from pipeline.video.headers import count_by_headers


def read_frame_counts(records: Sequence[VideoRecord]) -> dict[str, int]:
    """Return the frames of the videos whose manifest row or header names them, by video; 0 for files without a byte."""
    counts = {record.video_id: record.num_frames for record in records if record.num_frames is not None}
    unprobed = [record for record in records if record.num_frames is None]
    by_headers = count_by_headers([record.path for record in unprobed], timeout_sec=HEADERS_SEC)
    for record, num_frames in zip(unprobed, by_headers, strict=True):
        if num_frames is not None:
            counts[record.video_id] = num_frames
        elif not _file_bytes(record):
            counts[record.video_id] = 0
    return counts


def complete_frame_counts(
    records: Sequence[VideoRecord], read: Mapping[str, int], labelled: Mapping[str, int]
) -> list[int] | None:
    """Say how many frames each video has: those labelled where it was settled, else those read, else by its size.

    Every video counts, whether it was reached in the sample's time or not: those that were are the short ones.

    Args:
        records: of the videos.
        read: frames by `read_frame_counts`.
        labelled: frames of the videos that are settled; 0 for quarantined ones.

    Returns:
        A number for each video; None where some have none of these, and no other tells the frames of a byte.
    """
    known = {**read, **labelled}
    unknown = [record for record in records if record.video_id not in known]
    if not unknown:
        return [known[record.video_id] for record in records]
    sized = [record for record in records if record.video_id in known]
    num_frames, num_bytes = sum(known[record.video_id] for record in sized), sum(map(_file_bytes, sized))
    if not num_frames or not num_bytes:
        return None
    frames_per_byte = num_frames / num_bytes
    by_size = {record.video_id: max(1, round(_file_bytes(record) * frames_per_byte)) for record in unknown}
    return [{**by_size, **known}[record.video_id] for record in records]


def _file_bytes(record: VideoRecord) -> int:
    try:
        return record.path.stat().st_size
    except OSError:
        return 0
