"""Shards made for the tests: random labels from a seed, of a small frame size."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.shards import (
    FrameLabels,
    Receipt,
    ShardHeader,
    ShardWriter,
    VideoOutcome,
    VideoStatus,
    receipt_path_of,
    write_receipt,
)

HEIGHT, WIDTH = 24, 34  # 102 bytes a mask: not a power of two
FINGERPRINT = "f" * 64


def make_header(split: str = "train", teachers: tuple[str, ...] = ("human", "scene")) -> ShardHeader:
    return ShardHeader(
        dataset="made",
        split=split,
        height=HEIGHT,
        width=WIDTH,
        fingerprint=FINGERPRINT,
        frame_resize=f"bilinear {HEIGHT}x{WIDTH}",
        decoder="none",
        human_teacher="toy sha256:00" if "human" in teachers else None,
        scene_teacher="toy sha256:11" if "scene" in teachers else None,
        created_by="the tests",
    )


def make_labels(generator: np.random.Generator, frames: int) -> FrameLabels:
    probs = np.sort(generator.random((frames, 5), dtype=np.float32), axis=1)[:, ::-1]
    return FrameLabels(
        masks=generator.random((frames, HEIGHT, WIDTH)) < 0.3,
        scene_indices=generator.integers(0, 365, (frames, 5)).astype(np.uint16),
        scene_probs=probs.astype(np.float16),
        valid=generator.random(frames) < 0.9,
        frame_hashes=generator.integers(0, 2**64, frames, dtype=np.uint64),
    )


def pick(labels: FrameLabels, indices: Sequence[int] | np.ndarray) -> FrameLabels:
    """Take some frames' labels."""
    rows = np.asarray(indices, np.int64)
    return FrameLabels(*(None if values is None else values[rows] for values in labels))


def of_teachers(labels: FrameLabels, teachers: tuple[str, ...]) -> FrameLabels:
    """Leave out what the other teachers say."""
    labels = labels if "human" in teachers else labels._replace(masks=None)
    return labels if "scene" in teachers else labels._replace(scene_indices=None, scene_probs=None)


def append(writer: ShardWriter, labels: FrameLabels, start: int = 0, stop: int | None = None) -> None:
    part = FrameLabels(*(None if values is None else values[start:stop] for values in labels))
    writer.append(part.masks, part.scene_indices, part.scene_probs, part.frame_hashes, part.valid)


def fail_to_write(program: str, path: Path) -> str:
    """Run Python text that writes a shard and cannot, in a process of its own; return its words; it left no file."""
    run = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert list(path.parent.iterdir()) == []
    return run.stdout


def assert_same(found: FrameLabels, expected: FrameLabels) -> None:
    for name, values, wanted in zip(FrameLabels._fields, found, expected, strict=True):
        if wanted is None:
            assert values is None, name
            continue
        assert values.dtype == wanted.dtype, name
        np.testing.assert_array_equal(values, wanted, err_msg=name)


@dataclass(frozen=True)
class MadeShard:
    """A committed shard with its receipt, and what is in it."""

    path: Path
    receipt_path: Path
    videos: dict[str, FrameLabels]


def commit_shard(
    path: Path,
    lengths: list[int],
    seed: int = 0,
    prefix: str = "v",
    teachers: tuple[str, ...] = ("human", "scene"),
) -> MadeShard:
    """Write a shard of videos of these lengths, every third one partial, and one quarantined video in the receipt."""
    generator = np.random.default_rng(seed)
    videos = {
        f"{prefix}{number}": of_teachers(make_labels(generator, frames), teachers)
        for number, frames in enumerate(lengths)
    }
    outcomes = []
    with ShardWriter(path, make_header(path.stem.split("-")[0], teachers)) as writer:
        for number, (video_id, labels) in enumerate(videos.items()):
            partial = number % 3 == 2
            writer.begin_video(video_id)
            append(writer, labels)
            writer.end_video(VideoStatus.PARTIAL if partial else VideoStatus.OK, seek_exact=number % 2 == 0)
            outcomes.append(
                VideoOutcome(
                    video_id=video_id,
                    outcome="partial" if partial else "ok",
                    reason="frame_count" if partial else None,
                    message="fewer frames than declared" if partial else None,
                    frames=len(labels.valid),
                )
            )
        summary = writer.commit()
    outcomes.append(
        VideoOutcome(video_id=f"{prefix}-broken", outcome="quarantined", reason="crashed", message="…", attempts=3)
    )
    receipt = Receipt(
        dataset="made",
        split=path.stem.split("-")[0],
        shard=path.stem,
        shard_index=int(path.stem.split("-")[-3]),
        shard_count=int(path.stem.split("-")[-1]),
        sha256=summary.sha256,
        shard_bytes=summary.shard_bytes,
        frames=summary.frames,
        videos=summary.videos,
        fingerprint=FINGERPRINT,
        outcomes=tuple(outcomes),
        seconds=1.5,
        stage_seconds={"decode": 1.0},
    )
    receipt_path = receipt_path_of(path)
    write_receipt(receipt_path, receipt)
    return MadeShard(path, receipt_path, videos)
