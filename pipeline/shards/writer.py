"""Writing one shard: video after video; the file gets its final name only when it is whole and checked."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import numpy.typing as npt

from pipeline.errors import ShardError, WorkspaceError
from pipeline.files import disk_fault, sha256_of_file
from pipeline.local_copies import part_path_of
from pipeline.shards.columns import FrameColumns, check_frames, pack_masks, write_column
from pipeline.shards.flow_bytes import FlowBytes
from pipeline.shards.mask_column import MaskColumn
from pipeline.shards.part_file import create_file
from pipeline.shards.readback import ExpectedContent, find_content_faults
from pipeline.shards.schema import COLUMN_CHUNK_FRAMES, Compression, ShardHeader, VideoStatus
from pipeline.store import publish


@dataclass(frozen=True)
class ShardSummary:
    """What was committed; the receipt takes it from here.

    Attributes:
        path: the shard under its final name.
        frames, videos: rows and videos in it.
        shard_bytes, sha256: of the file.
    """

    path: Path
    frames: int
    videos: int
    shard_bytes: int
    sha256: str


class ShardWriter:
    """Write `path` by way of ``<path>.<random>.part`` on a local disk; the same videos give the same bytes.

    begin_video, any number of appends, end_video or abort_video; then commit or discard. As a context manager it
    discards what was not committed. Masks are compressed by threads beside the caller's, and held back only until they
    fill whole chunks, so that memory stays small however long a video is (the columns beside them take 29 bytes a
    frame).

    Every method may raise WorkspaceError (full or failing disk or store, no memory): the ``.part`` is then gone and
    the writer closed.
    """

    def __init__(
        self, path: Path, header: ShardHeader, compression: Compression = "gzip", *, compression_threads: int = 1
    ) -> None:
        if compression not in ("gzip", "zstd"):
            raise ValueError(f"shard {path}: compression {compression!r}; give 'gzip' or 'zstd'")
        self.path = path
        self.header = header
        self._closed = False
        self._video_ids: list[str] = []
        self._offsets: list[int] = [0]
        self._statuses: list[VideoStatus] = []
        self._seek_exact: list[int] = []
        self._columns = FrameColumns(header.frame_columns)
        self._open_video: str | None = None
        self._masks: MaskColumn | None = None
        self._flow: FlowBytes | None = None
        try:
            self._open_part()
        except OSError as error:
            self._closed = True
            raise disk_fault(self.part_path, error) from error
        with self._disk():
            if header.has_masks:
                self._masks = MaskColumn(self._file, header.mask_bytes, compression, compression_threads)
            if header.has_flow:
                self._flow = FlowBytes(self._file)

    # -- one video -------------------------------------------------------------------------------------------------

    def begin_video(self, video_id: str) -> None:
        """Start a video's rows. Raises ValueError when another is open or this one is already in the shard."""
        self._check_open()
        if self._open_video is not None:
            raise ValueError(f"{self.path}: video {video_id} begun while {self._open_video} is open; end or abort it")
        if video_id in self._video_ids:
            raise ValueError(f"{self.path}: video {video_id} is already in this shard")
        if not video_id or "\0" in video_id:
            raise ValueError(f"{self.path}: video id {video_id!r} cannot be stored; give a non-empty one without NUL")
        self._open_video = video_id
        for stream in self._streams:
            stream.mark()

    def append(
        self,
        masks: npt.NDArray[np.bool_] | npt.NDArray[np.uint8] | None,
        scene_indices: npt.NDArray[np.integer] | None,
        scene_probs: npt.NDArray[np.floating] | None,
        frame_hashes: npt.NDArray[np.uint64],
        valid: npt.NDArray[np.bool_],
        flows: Sequence[bytes] | None = None,
    ) -> None:
        """Add the next n frames of the open video; n may be 0.

        Args:
            masks: bool [n, H, W], or uint8 [n, H*W/8] as `numpy.packbits` gives them; None where the header names no
                human teacher.
            scene_indices: integers [n, 5] in 0..364, best first; None where it names no scene teacher.
            scene_probs: floats [n, 5] in [0, 1], descending; kept as float16. None likewise.
            frame_hashes: uint64 [n].
            valid: bool [n].
            flows: n encoded images; None where the header names no flow.

        Raises:
            ValueError: no open video, or an array is not as above; nothing of the call is kept.
        """
        self._check_video()
        rows = check_frames(
            self.header, masks, scene_indices, scene_probs, frame_hashes, valid, flows, f"video {self._open_video}"
        )
        self._columns.append(rows)
        with self._disk():
            if self._flow is not None and flows is not None:
                self._flow.append(flows)
            if self._masks is not None and masks is not None:
                self._masks.append(pack_masks(masks))

    def end_video(self, status: VideoStatus = VideoStatus.OK, *, seek_exact: bool) -> int:
        """Keep the open video and return its number of frames (0 is allowed)."""
        video_id = self._check_video()
        self._video_ids.append(video_id)
        self._statuses.append(VideoStatus(status))
        self._seek_exact.append(int(seek_exact))
        self._offsets.append(len(self._columns))
        self._open_video = None
        return self._offsets[-1] - self._offsets[-2]

    def abort_video(self) -> None:
        """Drop every row of the open video, those already in the file too."""
        self._check_video()
        with self._disk():
            for stream in self._streams:
                stream.rewind()
        self._columns.truncate(self._offsets[-1])
        self._open_video = None

    # -- the whole shard -------------------------------------------------------------------------------------------

    def commit(self) -> ShardSummary:
        """Finish the file, make it durable, read all of it back, and give it its final name.

        Raises:
            ValueError: a video is still open, or the writer is closed.
            ShardError: what was read back is not what was written; the file is removed.
        """
        self._check_open()
        if self._open_video is not None:
            raise ValueError(f"{self.path}: commit while video {self._open_video} is open; end or abort it")
        with self._disk():
            for stream in self._streams:
                if stream.has_holes:
                    self._write_anew()
                stream.finish()
            self._write_columns()
            self._file.close()
            self._part.finish()
        try:
            self._read_back()
            with self._disk():
                summary = ShardSummary(
                    path=self.path,
                    frames=self._offsets[-1],
                    videos=len(self._video_ids),
                    shard_bytes=self.part_path.stat().st_size,
                    sha256=sha256_of_file(self.part_path),
                )
                publish(self.part_path, self.path, summary.sha256)
        except ShardError:
            self.discard()
            raise
        self._closed = True
        return summary

    def discard(self) -> None:
        """Close and remove the ``.part`` file; does nothing after commit or a second time."""
        if self._closed:
            return
        self._closed = True
        self._part.abandon()
        if self._masks is not None:
            self._masks.close()
        self._file.close()
        self._part.close()
        with contextlib.suppress(OSError):
            self.part_path.unlink(missing_ok=True)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def _streams(self) -> list[MaskColumn | FlowBytes]:
        return [stream for stream in (self._masks, self._flow) if stream is not None]

    def _open_part(self) -> None:
        # A name of its own: a worker that outlives its killed driver for a moment must not meet its successor's file.
        self.part_path = part_path_of(self.path)
        self._part, self._file = create_file(self.part_path)

    def _write_anew(self) -> None:
        """Go on in a new ``.part``: the holes of dropped videos would be in the shard, as large as chance made them."""
        path, part, file = self.part_path, self._part, self._file
        try:
            self._open_part()
            for stream in self._streams:
                stream.move_to(self._file)
        finally:
            part.abandon()
            file.close()
            part.close()
            path.unlink(missing_ok=True)
        if part.fault is not None:
            raise part.fault

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"{self.path}: this writer is closed; make a new one")

    def _check_video(self) -> str:
        self._check_open()
        if self._open_video is None:
            raise ValueError(f"{self.path}: no video is open; call begin_video first")
        return self._open_video

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn a failing disk or a lack of memory into a WorkspaceError, and leave no ``.part`` behind one."""
        try:
            yield
            if self._part.fault is not None:
                raise self._part.fault
        except WorkspaceError:
            self.discard()
            raise
        except OSError as error:
            self.discard()
            raise disk_fault(self.path, self._part.fault or error) from error
        except Exception as error:
            self.discard()
            if self._part.fault is not None:
                # What HDF5 makes of what it could not write and then reads, RuntimeError among it, is no other fault.
                raise disk_fault(self.path, self._part.fault) from error
            if not isinstance(error, MemoryError):
                raise
            raise WorkspaceError(
                f"{self.path}: no memory to write it ({error}); see that the machine has some to spare, then run the "
                "same command again"
            ) from error

    def _write_columns(self) -> None:
        encoded = [video_id.encode() for video_id in self._video_ids]
        id_type = h5py.string_dtype("utf-8", max(map(len, encoded), default=1))
        write_column(self._file, "video_id", np.array(encoded, dtype=id_type), len(encoded))
        write_column(self._file, "offset", np.array(self._offsets, np.int64), len(self._offsets))
        write_column(self._file, "status", np.array(self._statuses, np.uint8), len(encoded))
        write_column(self._file, "seek_exact", np.array(self._seek_exact, np.uint8), len(encoded))
        for name in self._columns.names:
            write_column(self._file, name, self._columns.column(name), COLUMN_CHUNK_FRAMES, gzip=name != "frame_hash")
        for name, value in dataclasses.asdict(self.header).items():
            if value is not None:
                self._file.attrs[name] = value

    def _read_back(self) -> None:
        """Compare the closed file with what is remembered of it, every checksum included."""
        faults = find_content_faults(
            self.part_path,
            ExpectedContent(
                attributes=dataclasses.asdict(self.header),
                video_ids=tuple(self._video_ids),
                frames=tuple(b - a for a, b in pairwise(self._offsets)),
                statuses=tuple(self._statuses),
            ),
        )
        if faults:
            raise ShardError(
                f"shard {self.path}: read back after writing: {faults[0]}; is the disk failing? label it again"
            )
