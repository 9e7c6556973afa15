"""Label as a Ray Data job: read -> map_batches(decode) -> map_batches(teachers) -> Parquet.

Its actors start anew with each run, so a run over one video is timed first, and taken off.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import numpy as np
import ray
import torch
from contest import BENCHMARKS_DIR, Task, read_task, report
from cpu_clock import CpuClock

from manifests import VideoRecord
from pipeline.label.settings import TeacherSettings
from pipeline.label.teacher_loading import choose_precision, load_teachers

FRAME_HEIGHT, FRAME_WIDTH = 256, 340
FRAMES_PER_BLOCK = 64


def decode(batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Decode whole videos; yields frames uint8 [n, 256, 340, 3] with their video's id, some at a time."""
    # After PyTorch: decord loads a BLAS of its own that PyTorch would otherwise call, and crash in.
    import decord

    for video_id, path in zip(batch["video_id"], batch["path"], strict=True):
        reader = decord.VideoReader(str(path), width=FRAME_WIDTH, height=FRAME_HEIGHT, num_threads=1)
        for start in range(0, len(reader), FRAMES_PER_BLOCK):
            frames = reader.get_batch(range(start, min(start + FRAMES_PER_BLOCK, len(reader)))).asnumpy()
            yield {"video_id": np.repeat(video_id, len(frames)), "frame": frames}


class Label:
    """Both teachers in one actor."""

    def __init__(self, settings: TeacherSettings, num_threads: int) -> None:
        torch.set_num_threads(num_threads)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._teachers = load_teachers(settings, device, choose_precision(settings.precision, device))

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        frames = torch.from_numpy(np.ascontiguousarray(batch["frame"])).to(self._teachers.device)
        masks = self._teachers.human.predict_masks(frames).cpu().numpy()
        scenes = self._teachers.scene.predict_scenes(frames)
        return {
            "video_id": batch["video_id"],
            "mask": np.packbits(masks.reshape(len(masks), -1), axis=1),
            "scene_index": scenes.indices_BK.cpu().numpy().astype("u2"),
            "scene_prob": scenes.probs_BK.cpu().numpy().astype("f2"),
        }


class Timed(NamedTuple):
    """What one run took."""

    frames: int
    seconds: float
    cpu_sec: float


def label(task: Task, records: Sequence[VideoRecord], output_dir: Path) -> Timed:
    """Run the job over some videos, actors' start and all."""
    rows: list[dict[str, Any]] = [{"video_id": record.video_id, "path": str(record.path)} for record in records]
    started = time.monotonic()
    labels = (
        ray.data.from_items(rows, override_num_blocks=max(1, len(rows) // 8))
        .map_batches(decode, batch_size=1, num_cpus=1)
        .map_batches(
            Label,
            fn_constructor_args=(task.teachers, task.num_threads),
            batch_size=task.batch_size,
            concurrency=1,
            num_cpus=1,
            num_gpus=min(1, torch.cuda.device_count()),
        )
    )
    with CpuClock() as clock:
        labels.write_parquet(str(output_dir), compression="gzip")
    seconds = time.monotonic() - started
    return Timed(ray.data.read_parquet(str(output_dir)).count(), seconds, clock.seconds)


def main() -> None:
    task = read_task()
    python_path = os.pathsep.join([str(BENCHMARKS_DIR), os.environ.get("PYTHONPATH", "")])
    ray.init(
        address="local",
        num_cpus=max(2, os.cpu_count() or 1),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": {"PYTHONPATH": python_path}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    start = label(task, task.records[:1], task.output_dir / "start")
    whole = label(task, task.records, task.output_dir / "labels")
    ray.shutdown()
    report(whole.frames - start.frames, whole.seconds - start.seconds, whole.cpu_sec - start.cpu_sec)


if __name__ == "__main__":
    main()
