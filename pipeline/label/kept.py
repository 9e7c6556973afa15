"""The rows of a shard that stay as they are, while others come of its videos anew, or come from elsewhere."""

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.shards import ShardReader, ShardWriter, VideoOutcome, open_shard, read_receipt, receipt_path_of

# Frames read at a time: 14 MB of masks.
COPY_FRAMES = 160


@dataclass(frozen=True)
class KeptVideo:
    """A video whose outcome, and rows if it has any, are taken over from where they are.

    Attributes:
        outcome: what the receipt there says.
        copy_rows: writes its rows.
    """

    outcome: VideoOutcome
    copy_rows: Callable[[ShardWriter], None]


class CommittedLabels:
    """A committed shard and its receipt, as a source of rows; a context manager.

    Args:
        shard_path: of the committed file.

    Raises:
        ShardError: the shard or its receipt is damaged.
    """

    def __init__(self, shard_path: Path) -> None:
        self.outcomes = {outcome.video_id: outcome for outcome in read_receipt(receipt_path_of(shard_path)).outcomes}
        self._reader = open_shard(shard_path)

    def __enter__(self) -> "CommittedLabels":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def kept(self, again: Set[str]) -> dict[str, KeptVideo]:
        """Return the videos that are not tried again, by id."""
        return {
            video_id: KeptVideo(outcome, partial(self.copy_rows, video_id))
            for video_id, outcome in self.outcomes.items()
            if video_id not in again
        }

    def copy_rows(self, video_id: str, writer: ShardWriter) -> None:
        """Write a labelled video's rows as they are."""
        copy_rows(self._reader, video_id, writer)


def copy_rows(reader: ShardReader, video_id: str, writer: ShardWriter) -> None:
    """Write a labelled video's rows as they are in another shard."""
    num_frames = reader.num_frames(video_id)
    writer.begin_video(video_id)
    for start in range(0, num_frames, COPY_FRAMES):
        rows = reader.read(video_id, np.arange(start, min(start + COPY_FRAMES, num_frames)))
        writer.append(rows.masks, rows.scene_indices, rows.scene_probs, rows.frame_hashes, rows.valid, rows.flows)
    writer.end_video(reader.status(video_id), seek_exact=reader.seek_exact(video_id))
