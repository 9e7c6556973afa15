"""Measure decoding: frames per second of processor time, and how many frames are the right ones, beside decord.

Frames come out as numpy arrays of 256 x 340 RGB from either decoder, in one thread. "In order" decodes a whole file, as
labelling does; "3 of 300" reads three random frames, opening the file afresh each time, as training does; PyAV seeks to
the keyframe before each, where the file allows it. Times are the better of three runs, taken in turns. The frames carry
their number, so a second table counts those that are what their index says, in files that are known to confuse players.

    python benchmarks/bench_decoding.py [--seconds 12] [--clip FILE ...]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import decord
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH, VideoFile, read_frames
from tests.pipeline.video.numbered import numbered_frames, read_number
from tests.videos import write_video

FPS = 25
RANDOM_FRAMES = 3
RANDOM_READS = 10
ROUNDS = 3


def open_decord(path: Path) -> decord.VideoReader:
    """Open a file with decord, at the labels' size, in one thread."""
    return decord.VideoReader(str(path), width=FRAME_WIDTH, height=FRAME_HEIGHT, num_threads=1)


def pyav_in_order(path: Path) -> list[int | None]:
    with VideoFile(path) as video:
        return [read_number(frame) for frame, _ in video.frames()]


def decord_in_order(path: Path) -> list[int | None]:
    reader = open_decord(path)
    return [read_number(reader.next().asnumpy()) for _ in range(len(reader))]


def pyav_count(path: Path) -> int:
    with VideoFile(path) as video:
        return sum(1 for _ in video.frames())


def decord_count(path: Path) -> int:
    reader = open_decord(path)
    for _ in range(len(reader)):
        reader.next().asnumpy()
    return len(reader)


def read_three(path: Path, read: Callable[[Path, list[int]], object], num_frames: int) -> int:
    """Open a file and read three random frames of it, ten times over."""
    generator = np.random.default_rng(0)
    for _ in range(RANDOM_READS):
        read(path, sorted(generator.integers(0, num_frames, RANDOM_FRAMES).tolist()))
    return RANDOM_READS * RANDOM_FRAMES


def frames_per_cpu_sec(runs: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Time programs in turns; return each one's best rate."""
    best = dict.fromkeys(runs, 0.0)
    for _ in range(ROUNDS):
        for name, run in runs.items():
            started = time.process_time()
            num_frames = run()
            best[name] = max(best[name], num_frames / (time.process_time() - started))
    return best


def make_clip(path: Path, height: int, width: int, seconds: int) -> Path:
    """Encode a clip with fine moving texture, so that it holds about as many bits as a filmed one."""
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 60, (height + FPS, width + FPS, 3), dtype=np.uint8)
    frames = numbered_frames(range(FPS * seconds), height, width)
    for index, frame in enumerate(frames):
        shift = index % FPS
        frame += texture[shift : shift + height, shift : shift + width] // 2
    return write_video(path, frames, keyframe_every=250, options={"bf": "2", "x264-params": "log-level=none"})


def confusing_files(folder: Path) -> dict[str, tuple[Path, list[int]]]:
    """Make files that confuse players, with the numbers that their frames should have."""
    whole = write_video(folder / "whole.mp4", numbered_frames(range(60)), options={"bf": "2"})
    cut = folder / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size and packet.pts is not None and packet.dts is not None:
                tick = packet.duration
                keep = packet.pts >= 24 * tick
                packet.pts, packet.dts, packet.stream = packet.pts - 31 * tick, packet.dts - 31 * tick, stream
                if keep:
                    target.mux(packet)
    avi = write_video(folder / "b.avi", numbered_frames(range(60)), codec="mpeg4", options={"bf": "2"})
    mp4 = write_video(folder / "b-mpeg4.mp4", numbered_frames(range(60)), codec="mpeg4", options={"bf": "2"})
    return {
        "MP4 cut by stream copy (edit list)": (cut, list(range(31, 60))),
        "AVI, MPEG-4 with B-frames": (avi, list(range(60))),
        "MP4, MPEG-4 with B-frames": (mp4, list(range(60))),
    }


def count_right(found: list[int | None], expected: list[int]) -> str:
    right = sum(a == b for a, b in zip(found, expected, strict=False))
    return f"{right} of {len(expected)}" + (f", {len(found)} given" if len(found) != len(expected) else "")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=12, help="length of the clips made")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="measure this file too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        clips = {
            "256 x 340, H.264": make_clip(folder / "small.mp4", FRAME_HEIGHT, FRAME_WIDTH, args.seconds),
            "720 x 1280, H.264": make_clip(folder / "large.mp4", 720, 1280, args.seconds),
            **{path.name: path for path in args.clip},
        }
        print("| Frames per CPU second | PyAV, here | decord | here / decord |\n|---|---|---|---|")
        for name, path in clips.items():
            total = pyav_count(path)
            rates = frames_per_cpu_sec(
                {
                    "pyav": lambda path=path: pyav_count(path),
                    "decord": lambda path=path: decord_count(path),
                    "pyav random": lambda path=path, total=total: read_three(
                        path, lambda p, wanted: read_frames(p, wanted, seek=True), total
                    ),
                    "decord random": lambda path=path, total=total: read_three(
                        path, lambda p, wanted: open_decord(p).get_batch(wanted).asnumpy(), total
                    ),
                }
            )
            for title, ours, theirs in (
                ("in order", "pyav", "decord"),
                (f"3 of {total}", "pyav random", "decord random"),
            ):
                ratio = rates[ours] / rates[theirs]
                print(f"| {name}, {title} | {rates[ours]:.0f} | {rates[theirs]:.0f} | {ratio:.2f} |", flush=True)
        print("\n| Right frames | PyAV, in order | decord, in order | decord, by index |\n|---|---|---|---|")
        for name, (path, expected) in confusing_files(folder).items():
            reader = open_decord(path)
            order = np.random.default_rng(0).permutation(len(reader)).tolist()
            by_index: list[int | None] = [None] * len(reader)
            for index in order:
                by_index[index] = read_number(reader[index].asnumpy())
            columns = (pyav_in_order(path), decord_in_order(path), by_index)
            print(f"| {name} | " + " | ".join(count_right(found, expected) for found in columns) + " |", flush=True)


if __name__ == "__main__":
    main()
