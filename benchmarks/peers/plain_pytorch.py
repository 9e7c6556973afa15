"""Label as a user would in an afternoon: a DataLoader that decodes with decord, both teachers, h5py.

As many decoding processes as ours has: one a processor.
"""

import time
from collections.abc import Sequence

# Before decord, which loads a BLAS of its own that PyTorch would otherwise call, and crash in.
import torch  # isort: skip
import decord
import h5py
import numpy as np
from contest import read_task, report
from cpu_clock import CpuClock
from torch.utils.data import DataLoader, Dataset

from manifests import VideoRecord
from pipeline.label.teacher_loading import choose_precision, load_teachers

FRAME_HEIGHT, FRAME_WIDTH = 256, 340


class Videos(Dataset[tuple[str, torch.Tensor]]):
    """Whole videos: the id, and frames uint8 [T, 256, 340, 3]."""

    def __init__(self, records: Sequence[VideoRecord]) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> tuple[str, torch.Tensor]:
        record = self._records[index]
        reader = decord.VideoReader(str(record.path), width=FRAME_WIDTH, height=FRAME_HEIGHT, num_threads=1)
        frames = reader.get_batch(range(len(reader))).asnumpy()
        return record.video_id, torch.from_numpy(frames)


def main() -> None:
    task = read_task()
    torch.set_num_threads(task.num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teachers = load_teachers(task.teachers, device, choose_precision(task.teachers.precision, device))
    loader = DataLoader(Videos(task.records), batch_size=None, num_workers=task.num_threads, prefetch_factor=4)
    num_frames = 0
    started = time.monotonic()
    with CpuClock() as clock, h5py.File(task.output_dir / "labels.h5", "w") as file:
        for video_id, frames in loader:
            masks, indices, probs = [], [], []
            for batch in frames.split(task.batch_size):
                on_device = batch.to(device)
                masks.append(teachers.human.predict_masks(on_device).cpu().numpy())
                scenes = teachers.scene.predict_scenes(on_device)
                indices.append(scenes.indices_BK.cpu().numpy())
                probs.append(scenes.probs_BK.cpu().numpy())
            group = file.create_group(video_id)
            packed = np.packbits(np.concatenate(masks).reshape(len(frames), -1), axis=1)
            group.create_dataset(
                "mask", data=packed, compression="gzip", chunks=(min(16, len(packed)), packed.shape[1])
            )
            group.create_dataset("scene_index", data=np.concatenate(indices).astype("u2"))
            group.create_dataset("scene_prob", data=np.concatenate(probs).astype("f2"))
            num_frames += len(frames)
    report(num_frames, time.monotonic() - started, clock.seconds)


if __name__ == "__main__":
    main()
