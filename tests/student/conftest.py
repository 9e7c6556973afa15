"""Small real videos with real labels: MP4 files made by an encoder, a shard made by the project's writer."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from manifests import write_manifest
from manifests.record import VideoRecord
from pipeline.shards import LabelIndex, Receipt, VideoOutcome, receipt_path_of, write_receipt
from pipeline.shards.reader import FrameLabels, open_shard
from pipeline.shards.schema import ShardHeader
from pipeline.shards.writer import ShardWriter
from pipeline.video import hash_frames, read_frames

NUM_VIDEOS = 6
NUM_FRAMES = 8


def write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """Encode uint8 RGB frames [n, H, W, 3] as an MP4 file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.bit_rate = 2_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def draw_clip(label: int, seed: int) -> NDArray[np.uint8]:
    """Draw a bright box that moves over a dark ground: to the right in class 0, downward in class 1."""
    generator = np.random.default_rng(seed)
    frames = np.full((NUM_FRAMES, 96, 128, 3), 30, np.uint8)
    frames[..., 2] += generator.integers(0, 60, dtype=np.uint8)
    for number, frame in enumerate(frames):
        top, left = (20 + 6 * number, 40) if label else (30, 10 + 8 * number)
        frame[top : top + 30, left : left + 44, 1] = 220
    return frames


def green_mask(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say where the box is, from the pixels alone: a mask that shows whether it lies on its own frame."""
    return frames[..., 1] > 125


@dataclass(frozen=True)
class ShardLabels:
    """The labels of one shard, opened for each read so that loading processes can share it."""

    path: Path

    def __contains__(self, video_id: object) -> bool:
        with open_shard(self.path) as shard:
            return video_id in shard.video_ids

    def num_frames(self, video_id: str) -> int:
        with open_shard(self.path) as shard:
            return shard.num_frames(video_id)

    def seek_exact(self, video_id: str) -> bool:
        with open_shard(self.path) as shard:
            return shard.seek_exact(video_id)

    def read(self, video_id: str, frame_indices: Sequence[int] | NDArray[np.integer]) -> FrameLabels:
        with open_shard(self.path) as shard:
            return shard.read(video_id, frame_indices)


@dataclass(frozen=True)
class LabelledVideos:
    """A few videos of two classes, with labels."""

    records: list[VideoRecord]
    labels: ShardLabels


def _label_videos(path: Path, records: Sequence[VideoRecord], *, hash_noise: int = 0) -> ShardLabels:
    """Write the shard of some videos; `hash_noise` makes every stored hash wrong by these bits."""
    header = ShardHeader(
        dataset="boxes", split="train", height=256, width=340, fingerprint="f", frame_resize="256x340", decoder="PyAV",
        human_teacher="green sha256:0", scene_teacher="blue sha256:0", created_by="tests",
    )  # fmt: skip
    probs = np.tile(np.array([0.5, 0.2, 0.1, 0.1, 0.05], np.float32), (NUM_FRAMES, 1))
    with ShardWriter(path, header) as writer:
        for row, record in enumerate(records):
            frames = read_frames(record.path, range(NUM_FRAMES))
            scenes = np.tile(np.arange(row, row + 5), (NUM_FRAMES, 1))
            hashes = hash_frames(frames) ^ np.uint64(hash_noise)
            writer.begin_video(record.video_id)
            writer.append(green_mask(frames), scenes, probs, hashes, np.ones(NUM_FRAMES, np.bool_))
            writer.end_video(seek_exact=True)
        writer.commit()
    return ShardLabels(path)


@pytest.fixture(scope="session")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> LabelledVideos:
    """Six videos of eight frames, labelled."""
    folder = tmp_path_factory.mktemp("boxes")
    records = []
    for number in range(NUM_VIDEOS):
        path = folder / f"box{number}.mp4"
        write_video(path, draw_clip(number % 2, seed=number))
        records.append(VideoRecord(f"box{number}", path, "train", number % 2, ("right", "down")[number % 2]))
    return LabelledVideos(records, _label_videos(folder / "train-00000-of-00001.h5", records))


@pytest.fixture
def mislabelled_boxes(boxes: LabelledVideos, tmp_path: Path) -> LabelledVideos:
    """The same videos with a shard whose frame hashes are all wrong by one bit."""
    labels = _label_videos(tmp_path / "train-00000-of-00001.h5", boxes.records, hash_noise=1)
    return LabelledVideos(boxes.records, labels)


@pytest.fixture
def partly_labelled_boxes(boxes: LabelledVideos, tmp_path: Path) -> LabelledVideos:
    """The same videos, of which only the first two are labelled."""
    return LabelledVideos(boxes.records, _label_videos(tmp_path / "train-00000-of-00001.h5", boxes.records[:2]))


@pytest.fixture
def workspace(boxes: LabelledVideos, tmp_path: Path) -> Path:
    """A workspace with four labelled training videos and two to test on."""
    records = [replace(record, split="train" if n < 4 else "test") for n, record in enumerate(boxes.records)]
    root = tmp_path / "workspace"
    shards = root / "shards" / "boxes"
    for folder in (root / "manifests", shards):
        folder.mkdir(parents=True)
    write_manifest(root / "manifests" / "boxes.csv", records)
    shard = Path(shutil.copy(boxes.labels.path, shards))
    with open_shard(shard) as reader:
        outcomes = tuple(VideoOutcome(video_id=v, outcome="ok", frames=reader.num_frames(v)) for v in reader.video_ids)
    receipt = Receipt(
        dataset="boxes",
        split="train",
        shard=shard.stem,
        shard_index=0,
        shard_count=1,
        sha256=hashlib.sha256(shard.read_bytes()).hexdigest(),
        shard_bytes=shard.stat().st_size,
        frames=sum(outcome.frames for outcome in outcomes),
        videos=len(outcomes),
        fingerprint="f",
        outcomes=outcomes,
        seconds=1.0,
    )
    write_receipt(receipt_path_of(shard), receipt)
    assert len(LabelIndex(shards)) == len(records)
    return root
