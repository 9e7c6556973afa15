"""A small workspace of real videos, good and bad, with teachers whose labels can be worked out."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from manifests import VideoRecord, write_manifest
from pipeline.label.goals import RetryVideos
from pipeline.label.job import LabelJob, LabelReport, run_label_job
from pipeline.label.local import LocalPool
from pipeline.label.progress import LabelProgress
from pipeline.label.settings import LabelSettings, TeacherSettings
from pipeline.workspace import Workspace
from tests.videos import moving_frames, write_audio, write_video

TOY_HUMAN = "tests.pipeline.label.toy_teachers:load_human"
TOY_SCENE = "tests.pipeline.label.toy_teachers:load_scene"

# Frames of the good videos: shorter than a batch, as long, longer, and of more chunks than one.
LENGTHS = (5, 16, 23, 40, 1, 33)


class Bench:
    """A workspace with a data set called ``mix``, and the means to label it in this process."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace(root)
        self.shards_dir = self.workspace.shards_dir("mix")
        self.teachers = TeacherSettings(
            self.workspace.teacher_path("human"), self.workspace.teacher_path("scene"), TOY_HUMAN, TOY_SCENE
        )
        for path in (self.teachers.human_path, self.teachers.scene_path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("0")
        self.records = self._make_videos(root / "videos")
        write_manifest(self.workspace.manifest_path("mix"), self.records)

    def label(
        self,
        on_progress: Callable[[LabelProgress], None] = lambda _: None,
        *,
        split: str | None = None,
        videos_per_shard: int | None = 3,
    ) -> LabelReport:
        """Label what is not labelled yet."""
        job = LabelJob("mix", self.records, self.shards_dir, split, videos_per_shard)
        with LocalPool(self.teachers, LabelSettings(batch_size=8), self.shards_dir) as pool:
            return run_label_job(job, pool, on_progress)

    def retry(
        self,
        *reasons: str,
        only_partial: bool = False,
        on_progress: Callable[[LabelProgress], None] = lambda _: None,
    ) -> LabelReport:
        """Try videos again that are quarantined, or partial, or have such a reason."""
        job = LabelJob("mix", self.records, self.shards_dir, goal=RetryVideos(frozenset(reasons), only_partial))
        with LocalPool(self.teachers, LabelSettings(batch_size=8), self.shards_dir) as pool:
            return run_label_job(job, pool, on_progress)

    def whiten(self, video_id: str) -> None:
        """Make a video all white: frames that a toy teacher can be told to fail on."""
        (record,) = (record for record in self.records if record.video_id == video_id)
        write_video(record.path, np.full((20, 96, 128, 3), 255, dtype=np.uint8))

    def shard_bytes(self) -> dict[str, bytes]:
        """Return every committed shard's content."""
        return {path.name: path.read_bytes() for path in sorted(self.shards_dir.glob("*.h5"))}

    def _make_videos(self, folder: Path) -> list[VideoRecord]:
        paths = [
            write_video(folder / f"good{i}.mp4", moving_frames(length, seed=i)) for i, length in enumerate(LENGTHS)
        ]
        whole = write_video(folder / "whole.mp4", moving_frames(60), container_options={"movflags": "faststart"})
        content = whole.read_bytes()
        cut, text, empty = folder / "cut.mp4", folder / "text.mp4", folder / "empty.mp4"
        cut.write_bytes(content[: len(content) // 2])
        text.write_text("no video " * 50)
        empty.touch()
        whole.unlink()
        paths[2:2] = [cut, text]
        paths[5:5] = [empty, folder / "absent.mp4", write_audio(folder / "sound.mp4")]
        return [
            VideoRecord(path.stem, path, "val" if i % 4 == 3 else "train", i % 3, f"class {i % 3}")
            for i, path in enumerate(paths)
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield Bench(tmp_path / "workspace")
