"""Measure optical flow: processor time, what faster settings change, and bytes a frame by coding.

Methods are compared on pairs of neighbouring frames spread over real videos, one thread each: milliseconds of processor
a pair (flow alone); mean distance of the vectors to those of OpenCV's default TV-L1 in pixels, clipped at 20 as stored;
how far the first frame is from the second one moved back along the flow, in gray levels (with no flow at all: the first
line); bytes a frame as stored. Then ways to store the default's flows, with the distance they add in pixels and the
milliseconds to read one. Last, what the methods take for 70 million frames, decoding aside.

    python benchmarks/bench_flow.py --videos DIR [--clips 10] [--pairs 5]
"""

import argparse
import io
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from pipeline.flow.coding import BOUND, decode, dequantise, encode, quantise
from pipeline.flow.methods import compute_flow
from pipeline.flow.settings import FlowSettings
from pipeline.video import VideoFile

KINETICS_FRAMES = 70_000_000
QUALITY = FlowSettings().quality
Pair = tuple[np.ndarray, np.ndarray]
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def tvl1(**values: float) -> Method:
    """Return TV-L1 with other values than OpenCV's."""
    return lambda first, second: cv2.optflow.DualTVL1OpticalFlow.create(**values).calc(first, second, None)


def dis(preset: int) -> Method:
    """Return DIS with a preset."""
    return lambda first, second: cv2.DISOpticalFlow.create(preset).calc(first, second, None)


def ours(method: str) -> Method:
    """Return one of `extract-flow`'s."""
    return lambda first, second: compute_flow(method, first, second)


METHODS: dict[str, Method] = {
    "tvl1": ours("tvl1"),
    "tvl1, 1 warp": tvl1(warps=1),
    "tvl1, 2 warps, stop .02": tvl1(warps=2, epsilon=0.02),
    "tvl1-fast: 2 warps, stop .05": ours("tvl1-fast"),
    "tvl1, 2 warps, stop .05, 3 scales": tvl1(warps=2, epsilon=0.05, nscales=3),
    "tvl1, 1 warp, stop .05": tvl1(warps=1, epsilon=0.05),
    "dis medium": dis(cv2.DISOpticalFlow_PRESET_MEDIUM),
    "dis: fast": ours("dis"),
    "dis ultrafast": dis(cv2.DISOpticalFlow_PRESET_ULTRAFAST),
}


def read_pairs(folder: Path, num_clips: int, num_pairs: int) -> list[Pair]:
    """Read gray pairs from videos that lie evenly in the sorted list of all, and evenly in each."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".mp4", ".avi", ".mkv", ".webm"))
    pairs = []
    for path in paths[:: max(1, len(paths) // num_clips)][:num_clips]:
        with VideoFile(path) as video:
            frames = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame, _ in video.frames()]
        for index in np.linspace(0, len(frames) - 2, num_pairs).astype(int):
            pairs.append((frames[index], frames[index + 1]))
    return pairs


def distance(flows: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Return the mean distance of clipped vectors, in pixels."""
    clipped = [
        np.clip(flow, -BOUND, BOUND) - np.clip(other, -BOUND, BOUND) for flow, other in zip(flows, others, strict=True)
    ]
    return float(np.mean([np.linalg.norm(difference, axis=-1).mean() for difference in clipped]))


def gray_error(pairs: list[Pair], flows: list[np.ndarray]) -> float:
    """Return how far first frames are from second ones moved back, in gray levels."""
    rows, columns = np.mgrid[: flows[0].shape[0], : flows[0].shape[1]].astype(np.float32)
    errors = []
    for (first, second), flow in zip(pairs, flows, strict=True):
        back = cv2.remap(
            second, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
        )
        errors.append(np.abs(back.astype(np.float32) - first).mean())
    return float(np.mean(errors))


def compare_methods(pairs: list[Pair]) -> tuple[list[np.ndarray], dict[str, tuple[float, float]]]:
    """Print a line for each method; return the default's flows, and milliseconds and bytes by method."""
    still = [np.zeros((*first.shape, 2), np.float32) for first, _ in pairs]
    print(f"{'method':36}{'CPU ms':>8}{'pixels':>8}{'gray':>7}{'bytes':>8}")
    print(f"{'none':36}{'':16}{gray_error(pairs, still):7.2f}")
    reference: list[np.ndarray] = []
    costs = {}
    for name, method in METHODS.items():
        started = time.process_time()
        flows = [method(*pair) for pair in pairs]
        milliseconds = 1e3 * (time.process_time() - started) / len(pairs)
        reference = reference or flows
        size = float(np.mean([len(encode(quantise(flow), QUALITY)) for flow in flows]))
        costs[name] = (milliseconds, size)
        figures = f"{milliseconds:8.1f}{distance(flows, reference):8.2f}{gray_error(pairs, flows):7.2f}{size:8.0f}"
        print(f"{name:36}{figures}", flush=True)
    return reference, costs


def to_png(planes: np.ndarray) -> bytes:
    """Compress x above y as PNG."""
    stream = io.BytesIO()
    Image.fromarray(planes.reshape(-1, planes.shape[2])).save(stream, "PNG")
    return stream.getvalue()


def to_two_jpegs(planes: np.ndarray) -> bytes:
    """Compress x and y as JPEG streams of their own."""
    return b"".join(cv2.imencode(".jpg", plane, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes() for plane in planes)


def compare_codings(flows: list[np.ndarray]) -> None:
    """Print a line for each way to store flows."""
    planes = [quantise(flow) for flow in flows]
    whole = distance([dequantise(plane) for plane in planes], flows)
    print(f"\n{'coding':36}{'bytes':>8}{'pixels':>8}{'read ms':>9}")
    lossless = {"gzip 4": lambda plane: zlib.compress(plane.tobytes(), 4), "PNG": to_png}
    for name, compress in lossless.items():
        print(f"{name:36}{np.mean([len(compress(plane)) for plane in planes]):8.0f}{whole:8.3f}")
    print(f"{f'two JPEG, quality {QUALITY}':36}{np.mean([len(to_two_jpegs(plane)) for plane in planes]):8.0f}")
    for quality in (75, 85, 90, 95, 98):
        streams = [encode(plane, quality) for plane in planes]
        started = time.process_time()
        decoded = [decode(stream) for stream in streams]
        milliseconds = 1e3 * (time.process_time() - started) / len(streams)
        lost = distance([dequantise(plane) for plane in decoded], flows)
        size = np.mean([len(stream) for stream in streams])
        print(f"{f'JPEG of x above y, quality {quality}':36}{size:8.0f}{lost:8.3f}{milliseconds:9.2f}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, help="folder of videos")
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--pairs", type=int, default=5, help="of each clip")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    pairs = read_pairs(options.videos, options.clips, options.pairs)
    print(f"{len(pairs)} pairs of {options.clips} videos, OpenCV {cv2.__version__}")
    flows, costs = compare_methods(pairs)
    compare_codings(flows)
    print("\n70 million frames:")
    for name in ("tvl1", "tvl1-fast: 2 warps, stop .05", "dis: fast"):
        milliseconds, size = costs[name]
        hours, gigabytes = milliseconds * KINETICS_FRAMES / 3.6e6, size * KINETICS_FRAMES / 1e9
        speed = f"{1e3 / milliseconds:8.1f} frames/s a core"
        print(f"{name.split(':')[0]:12}{speed}, {hours:9,.0f} core hours, {gigabytes:7,.0f} GB")


if __name__ == "__main__":
    main()
