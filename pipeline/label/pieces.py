"""Videos of an open shard that are labelled one by one: each is kept, so that a worker that dies loses one at most.

Once a worker has died with videos in hand, what it died of may be what it had gathered before, a leak say, and a fresh
one would die at the same place of the shard for ever. So from then on each video is a small shard of its own beside the
journal, ``<shard>.<place>.piece`` and, last, its receipt ``<shard>.<place>.json``; the shard is put together from them.
"""

import re
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from manifests import VideoRecord
from pipeline.errors import ShardError
from pipeline.files import disk_fault
from pipeline.label.kept import KeptVideo, copy_rows
from pipeline.label.tasks import ShardTask
from pipeline.shards import Receipt, ShardWriter, open_shard, read_receipt, receipt_path_of, write_receipt
from pipeline.shards.schema import SHARD_NAME_PATTERN
from pipeline.store import remove, sha256_of_file

_PIECE_NAME = re.compile(rf"(?P<shard>{SHARD_NAME_PATTERN})(\.copy)?\.\d+\.(piece|json)")


def shard_of_piece(path: Path) -> str | None:
    """Return the name of the shard that a piece, or the receipt of one, is of; None for any other file."""
    found = _PIECE_NAME.fullmatch(path.name)
    return found["shard"] if found else None


class Pieces:
    """The pieces of one shard; a second worker at the same shard has pieces of its own.

    Args:
        shards_dir: where the shard will be.
        task: the shard.
    """

    def __init__(self, shards_dir: Path, task: ShardTask) -> None:
        self._fingerprint = task.header.fingerprint
        stem = f"{task.name}{'.copy' if task.is_copy else ''}"
        self._paths = {
            record.video_id: shards_dir / f"{stem}.{place}.piece" for place, record in enumerate(task.shard.records)
        }
        self.receipts: dict[str, Receipt] = {}

    def find(self) -> None:
        """Look for the pieces that are there, whole, and of the labels that are made now.

        Raises:
            WorkspaceError: disk or store cannot be read.
        """
        for video_id in self._paths:
            try:
                receipt = read_receipt(self.receipt_path(video_id))
                is_whole = sha256_of_file(self.shard_path(video_id)) == receipt.sha256
            except (ShardError, FileNotFoundError):
                continue
            except OSError as error:
                raise disk_fault(self.shard_path(video_id), error, "read") from error
            is_its_own = [outcome.video_id for outcome in receipt.outcomes] == [video_id]
            if is_whole and is_its_own and receipt.fingerprint == self._fingerprint:
                self.receipts[video_id] = receipt

    def shard_path(self, video_id: str) -> Path:
        """Return where a video's rows go."""
        return self._paths[video_id]

    def receipt_path(self, video_id: str) -> Path:
        """Return where its receipt goes."""
        return receipt_path_of(self._paths[video_id])

    def missing(self, records: Collection[VideoRecord]) -> list[VideoRecord]:
        """Return those of the videos that have no piece."""
        return [record for record in records if record.video_id not in self.receipts]

    def add(self, receipt: Receipt) -> None:
        """Leave the receipt of a piece whose rows are written."""
        video_id = receipt.outcomes[0].video_id
        write_receipt(self.receipt_path(video_id), receipt)
        self.receipts[video_id] = receipt

    def kept(self) -> dict[str, KeptVideo]:
        """Return the videos that have a piece, by id."""
        return {
            video_id: KeptVideo(receipt.outcomes[0], self._copier(video_id))
            for video_id, receipt in self.receipts.items()
        }

    def remove(self) -> None:
        """Remove all pieces; call it when the shard that was put together from them is on the disk."""
        for video_id in self.receipts:
            remove(self.receipt_path(video_id))
            remove(self.shard_path(video_id))

    def _copier(self, video_id: str) -> Callable[[ShardWriter], None]:
        return partial(_copy_piece, self.shard_path(video_id), video_id)


def _copy_piece(path: Path, video_id: str, writer: ShardWriter) -> None:
    with open_shard(path) as reader:
        copy_rows(reader, video_id, writer)
