"""Measure how masks are best stored: bytes a frame, frames written a second, milliseconds for 3 random frames.

Four ways on the same masks: our shards (packed bits, scenes and all) with gzip and with zstd, and, as peers, one byte
a pixel with gzip in HDF5 (chunks of 16 frames) and a folder of PNG files, masks alone. Masks are those of J-HMDB,
enlarged to 256 x 340, where KINET_REAL_DATA names a folder that has them, else moving blobs. Scenes are made up: a
video's logits, and some noise in each frame.

    python benchmarks/bench_storage.py [--videos 128] [--reads 200] [--rounds 5]
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from PIL import Image

from pipeline.shards import ShardHeader, ShardWriter, open_shard

HEIGHT, WIDTH = 256, 340


@dataclass(frozen=True)
class Clip:
    """Labels of one video: masks bool [T, 256, 340], the five best scenes [T, 5] and their probabilities [T, 5]."""

    masks: np.ndarray
    scene_indices: np.ndarray
    scene_probs: np.ndarray


Clips = dict[str, Clip]


class Stored(NamedTuple):
    """Bytes on disk: of the whole, and of scenes where there are any."""

    whole: int
    scenes: int = 0


class Figures(NamedTuple):
    """What is printed of a way."""

    mask_bytes: float
    scene_bytes: float
    frames_per_sec: float
    read_ms: float


@dataclass(frozen=True)
class Way:
    """One way to store labels: `write` gives the bytes on disk, `read` opens afresh and returns masks [n, H, W]."""

    name: str
    write: Callable[[Path, Clips], Stored]
    read: Callable[[Path, str, list[int]], np.ndarray]


def load_clips(num_videos: int) -> tuple[str, Clips]:
    """Return where the masks come from, and labels by video."""
    generator = np.random.default_rng(0)
    root = os.environ.get("KINET_REAL_DATA")
    paths = sorted(Path(root, "jhmdb", "masks").glob("*/*.npz")) if root else []
    if not paths:
        source, masks = (
            "moving blobs (KINET_REAL_DATA is not set)",
            {f"blob{n}": clip for n, clip in enumerate(blobs(num_videos))},
        )
    else:
        chosen = paths[:: max(1, len(paths) // num_videos)][:num_videos]
        source, masks = "J-HMDB", {f"{path.parent.name}/{path.stem}": resize(np.load(path)["mask"]) for path in chosen}
    return source, {name: Clip(clip, *scenes(generator, len(clip))) for name, clip in masks.items()}


def scenes(generator: np.random.Generator, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the five best scenes of a video's frames, and their probabilities."""
    logits = generator.gumbel(size=365) * 2 + generator.normal(scale=0.1, size=(num_frames, 365))
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    indices = np.argsort(-probs, axis=1)[:, :5]
    return indices, np.take_along_axis(probs, indices, axis=1)


def resize(masks: np.ndarray) -> np.ndarray:
    """Enlarge masks [T, h, w] to the labelled frames' size."""
    return np.stack([np.asarray(Image.fromarray(mask * 255).resize((WIDTH, HEIGHT))) > 127 for mask in masks])


def blobs(num_videos: int) -> Iterator[np.ndarray]:
    """Make clips of 35 frames in which a few ellipses move."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for _ in range(num_videos):
        centres, radii = generator.uniform(60, 200, (3, 2)), generator.uniform(15, 50, (3, 2))
        steps = generator.uniform(-2, 2, (3, 2))
        yield np.stack(
            [
                np.any([((y - c - s * t) / r) ** 2 + ((x - d - u * t) / q) ** 2 < 1
                        for (c, d), (r, q), (s, u) in zip(centres, radii, steps, strict=True)], axis=0)
                for t in range(35)
            ]
        )  # fmt: skip


def shard_writer(compression: str) -> Callable[[Path, Clips], Stored]:
    """Make the `write` of our shards, all columns and the reading back at commit included."""
    texts = dict.fromkeys(
        ("dataset", "split", "fingerprint", "frame_resize", "decoder", "human_teacher", "scene_teacher", "created_by"),
        "bench",
    )
    header = ShardHeader(height=HEIGHT, width=WIDTH, **texts)

    def write(folder: Path, clips: Clips) -> Stored:
        with ShardWriter(folder / "bench.h5", header, compression) as writer:
            for video_id, clip in clips.items():
                frames = len(clip.masks)
                hashes, valid = np.arange(frames, dtype=np.uint64), np.ones(frames, np.bool_)
                writer.begin_video(video_id)
                writer.append(clip.masks, clip.scene_indices, clip.scene_probs, hashes, valid)
                writer.end_video(seek_exact=True)
            shard_bytes = writer.commit().shard_bytes
        with h5py.File(folder / "bench.h5") as file:
            scene_bytes = sum(file[name].id.get_storage_size() for name in ("scene_index", "scene_prob"))
        return Stored(shard_bytes, scene_bytes)

    return write


def read_shard(folder: Path, video_id: str, indices: list[int]) -> np.ndarray:
    with open_shard(folder / "bench.h5") as shard:
        return shard.read(video_id, indices).masks


def write_raw(folder: Path, clips: Clips) -> Stored:
    with h5py.File(folder / "raw.h5", "w") as file:
        for video_id, clip in clips.items():
            chunks = (min(16, len(clip.masks)), HEIGHT, WIDTH)
            file.create_dataset(
                video_id, data=clip.masks.astype(np.uint8), chunks=chunks, compression="gzip", fletcher32=True
            )
    return Stored((folder / "raw.h5").stat().st_size)


def read_raw(folder: Path, video_id: str, indices: list[int]) -> np.ndarray:
    with h5py.File(folder / "raw.h5") as file:
        return np.stack([file[video_id][index] for index in indices]).astype(np.bool_)


def write_png(folder: Path, clips: Clips) -> Stored:
    for video_id, clip in clips.items():
        (folder / video_id).mkdir(parents=True)
        for number, mask in enumerate(clip.masks):
            Image.fromarray(mask).save(folder / video_id / f"{number}.png")
    return Stored(sum(path.stat().st_size for path in folder.rglob("*.png")))


def read_png(folder: Path, video_id: str, indices: list[int]) -> np.ndarray:
    return np.stack([np.asarray(Image.open(folder / video_id / f"{index}.png")) for index in indices])


WAYS = (
    Way("shard, gzip", shard_writer("gzip"), read_shard),
    Way("shard, zstd", shard_writer("zstd"), read_shard),
    Way("uint8 + gzip", write_raw, read_raw),
    Way("1-bit PNG files", write_png, read_png),
)


def main() -> None:
    """Print one line for each way, and its ratios to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=128)
    parser.add_argument("--reads", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5, help="of writing")
    arguments = parser.parse_args()
    source, clips = load_clips(arguments.videos)
    frames = sum(len(clip.masks) for clip in clips.values())
    print(f"{len(clips)} clips, {frames} frames of {HEIGHT} x {WIDTH}: {source}; CPU time, one core")
    print(f"{'':16} {'mask B/frame':>13} {'scene B':>8} {'frames/s written':>17} {'ms for 3 frames':>16}", end="   ")
    print("ratios to the first")
    first: Figures | None = None
    for way in WAYS:
        figures = measure(way, clips, frames, arguments.reads, arguments.rounds)
        first = first or figures
        ratios = "  ".join(f"{value / base:5.2f}" for value, base in zip(figures, first, strict=True))
        print(
            f"{way.name:16} {figures.mask_bytes:13.0f} {figures.scene_bytes:8.1f} {figures.frames_per_sec:17,.0f} "
            f"{figures.read_ms:16.2f}   {ratios}"
        )


def measure(way: Way, clips: Clips, frames: int, reads: int, rounds: int) -> Figures:
    """Write all clips so many times, then read 3 random frames with a fresh open again and again.

    Times are of the processor, medians.
    """
    with tempfile.TemporaryDirectory() as name:
        write_times = []
        for round_number in range(rounds):
            folder = Path(name, str(round_number))
            folder.mkdir()
            started = time.process_time()
            stored = way.write(folder, clips)
            write_times.append(time.process_time() - started)
        read_times = list(time_reads(way, folder, clips, reads))
    mask_bytes = (stored.whole - stored.scenes) / frames
    frames_per_sec = frames / statistics.median(write_times)
    return Figures(mask_bytes, stored.scenes / frames, frames_per_sec, 1000 * statistics.median(read_times))


def time_reads(way: Way, folder: Path, clips: Clips, reads: int) -> Iterator[float]:
    """Read 3 random frames of a random clip, each time anew; yields seconds, exits where masks come back wrong."""
    generator = np.random.default_rng(0)
    names = list(clips)
    for _ in range(reads):
        video_id = names[generator.integers(len(names))]
        indices = generator.integers(0, len(clips[video_id].masks), 3).tolist()
        started = time.process_time()
        masks = way.read(folder, video_id, indices)
        yield time.process_time() - started
        if not np.array_equal(masks, clips[video_id].masks[indices]):
            raise SystemExit(f"{way.name}: {video_id} frames {indices} came back wrong")


if __name__ == "__main__":
    main()
