"""A video of three hours is labelled whole: every frame, in order, whatever the numbers of its times."""

from pathlib import Path

import av
import numpy as np

from manifests import VideoRecord
from pipeline.label.job import LabelJob, run_label_job
from pipeline.label.local import LocalPool
from pipeline.label.settings import LabelSettings
from pipeline.shards import VideoStatus, open_shard
from tests.pipeline.label.conftest import Bench
from tests.pipeline.video.numbered import numbered_frames
from tests.videos import write_video

NUM_PICTURES = 90
# A picture every six seconds, in microseconds: times beyond what 32 bits hold.
NUM_FRAMES, STEP_FRAMES, TICKS_PER_SEC = 1800, 150, 1_000_000


def test_three_hours_are_labelled_frame_by_frame(bench: Bench, tmp_path: Path) -> None:
    pictures = numbered_frames(range(NUM_PICTURES), 32, 48)
    path = write_video(
        tmp_path / "long.mp4",
        pictures[np.arange(NUM_FRAMES) % NUM_PICTURES],
        pts=range(0, NUM_FRAMES * STEP_FRAMES, STEP_FRAMES),
        options={"qp": "0"},
        container_options={"video_track_timescale": str(TICKS_PER_SEC)},
    )
    with av.open(str(path)) as container:
        *_, last = (packet.pts for packet in container.demux(video=0) if packet.pts is not None)
    assert last > 2**33
    job = LabelJob("long", [VideoRecord("long", path, "train", 0, "any")], tmp_path / "shards")
    with LocalPool(bench.teachers, LabelSettings(batch_size=16), job.shards_dir) as pool:
        report = run_label_job(job, pool, lambda _: None)
    assert (report.status.ok, report.frames) == (1, NUM_FRAMES)
    (shard_path,) = job.shards_dir.glob("*.h5")
    with open_shard(shard_path) as shard:
        assert shard.status("long") is VideoStatus.OK and shard.seek_exact("long")
        first = shard.read("long", range(NUM_PICTURES))
        assert len(np.unique(first.frame_hashes)) > NUM_PICTURES // 2
        for start in range(0, NUM_FRAMES, NUM_PICTURES):
            labels = shard.read("long", range(start, start + NUM_PICTURES))
            assert labels.valid.all()
            for name in ("masks", "scene_indices", "frame_hashes"):
                assert np.array_equal(getattr(labels, name), getattr(first, name)), (start, name)
