"""Measure the teachers on a GPU: frames/s with labels committed, share of the card's matmul rate, and eager float32.

In one run: (1) the card's bfloat16 rate by large matrix products; (2) the teachers in float32, batch after batch, each
awaited; (3) the same in bfloat16, as `label` runs them; (4) compiled too, as by `label --compile`; (5) these with every
batch's labels written into a shard; (6) with --videos, the whole job: videos decoded, labelled, committed. FLOPs of a
frame are counted by `torch.utils.flop_counter`. Frames are random and in memory but for the last. Float32 is PyTorch's:
TF32 in convolutions. Runs on a processor too, to see that it runs: the figures then mean little.

    python benchmarks/bench_gpu.py [--batch-size 64] [--batches 20] [--videos DIR [--limit 100]]
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode
from whole_job import whole_job
from workload import find_videos, make_teachers

from pipeline.label.batches import FrameRows, TeacherBatches
from pipeline.label.settings import LabelSettings
from pipeline.label.teacher_loading import Teachers, compile_teachers, load_teachers
from pipeline.shards import ShardHeader, ShardWriter, VideoStatus
from pipeline.video import FRAME_HEIGHT, FRAME_WIDTH

MATMUL_SIZE = {"cuda": 8192, "cpu": 1024}


def wait(device: torch.device) -> None:
    """Wait for the device to be done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def matmul_rate(device: torch.device) -> float:
    """Return FLOP/s of bfloat16 products of large square matrices."""
    size = MATMUL_SIZE[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        a @ b
    wait(device)
    started = time.monotonic()
    for _ in range(20):
        a @ b
    wait(device)
    return 20 * 2 * size**3 / (time.monotonic() - started)


def count_flops(teachers: Teachers, frames_BHWC: torch.Tensor) -> float:
    """Return FLOPs of both teachers for one frame."""
    assert teachers.human is not None and teachers.scene is not None
    with FlopCounterMode(display=False) as counter:
        teachers.human.predict_masks(frames_BHWC)
        teachers.scene.predict_scenes(frames_BHWC)
    return counter.get_total_flops() / len(frames_BHWC)


def frames_per_sec(
    teachers: Teachers, pixels: np.ndarray, num_batches: int, use: Callable[[list[FrameRows]], None]
) -> float:
    """Time whole batches through `TeacherBatches`, after two that warm up."""
    batches = TeacherBatches(teachers, len(pixels))
    for _ in range(2):
        batches.add(pixels)
    batches.finish()
    started = time.monotonic()
    for _ in range(num_batches):
        use(batches.add(pixels))
    use(batches.finish())
    return num_batches * len(pixels) / (time.monotonic() - started)


def eager_frames_per_sec(teachers: Teachers, pixels: np.ndarray, num_batches: int) -> float:
    """Time what a plain loop does: upload, both teachers, labels back, batch after batch."""
    human, scene = teachers.human, teachers.scene
    assert human is not None and scene is not None

    def run() -> None:
        frames_BHWC = torch.from_numpy(pixels).to(teachers.device)
        human.predict_masks(frames_BHWC).cpu()
        scenes = scene.predict_scenes(frames_BHWC)
        scenes.indices_BK.cpu()
        scenes.probs_BK.cpu()

    run()
    started = time.monotonic()
    for _ in range(num_batches):
        run()
    return num_batches * len(pixels) / (time.monotonic() - started)


def write_into(folder: Path) -> tuple[ShardWriter, Callable[[list[FrameRows]], None]]:
    """Open a shard, and give the function that writes rows into it."""
    header = ShardHeader(
        dataset="bench",
        split="train",
        height=FRAME_HEIGHT,
        width=FRAME_WIDTH,
        fingerprint="none",
        frame_resize="none",
        decoder="none",
        human_teacher="random",
        scene_teacher="random",
        created_by="bench_gpu",
    )
    writer = ShardWriter(folder / "train-00000-of-00001.h5", header)
    writer.begin_video("random")

    def write(all_rows: list[FrameRows]) -> None:
        for rows in all_rows:
            num_frames = len(rows.masks)
            hashes, valid = np.zeros(num_frames, np.uint64), np.ones(num_frames, np.bool_)
            writer.append(rows.masks, rows.scene_indices, rows.scene_probs, hashes, valid)

    return writer, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--limit", type=int, default=100, help="so many of the videos")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (options.batch_size, FRAME_HEIGHT, FRAME_WIDTH, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        settings = make_teachers("heavy", Path(name))
        exact = load_teachers(settings, device, "float32")
        fast = load_teachers(settings, device, "bfloat16")
        rate = matmul_rate(device)
        flops = count_flops(exact, torch.from_numpy(pixels[:2]).to(device))
        eager = eager_frames_per_sec(exact, pixels, options.batches)
        ours = frames_per_sec(fast, pixels, options.batches, lambda _: None)
        started = time.monotonic()
        compile_teachers(fast, settings, options.batch_size)
        compile_sec = time.monotonic() - started
        compiled = frames_per_sec(fast, pixels, options.batches, lambda _: None)
        writer, write = write_into(Path(name))
        with writer:
            committed = frames_per_sec(fast, pixels, options.batches, write)
            writer.end_video(VideoStatus.OK, seek_exact=True)
            writer.commit()
        job = None
        if options.videos is not None:
            as_compiled = dataclasses.replace(settings, precision="bfloat16", compiled=True)
            records = find_videos(options.videos, options.limit)
            job = whole_job(records, as_compiled, LabelSettings(batch_size=options.batch_size))
    where = torch.cuda.get_device_name() if device.type == "cuda" else "processor"
    print(f"{where}, batches of {options.batch_size}, {flops / 1e9:.1f} GFLOP a frame")
    print(f"  bfloat16 matmul                 {rate / 1e12:9.2f} TFLOP/s")
    print(f"  eager float32                   {eager:9.1f} frames/s")
    print(f"  bfloat16                        {ours:9.1f} frames/s   {ours / eager:.2f} times eager float32")
    print(
        f"  bfloat16, compiled              {compiled:9.1f} frames/s   {compiled / eager:.2f} times eager float32, "
        f"after {compile_sec:.0f} s of compiling"
    )
    print(f"  and labels into a shard         {committed:9.1f} frames/s   {committed / compiled:.3f} of that")
    if job is not None:
        print(
            f"  and videos decoded: the job     {job.frames_per_sec:9.1f} frames/s   "
            f"{job.frames_per_sec / compiled:.3f} of that"
        )
    print(
        f"  of the matmul rate              {100 * compiled * flops / rate:9.1f} %, "
        f"not compiled {100 * ours * flops / rate:.1f} %"
    )


if __name__ == "__main__":
    main()
