"""KINet can learn: it tells 16 real clips of 8 actions apart, all of them, with real masks beside."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from manifests.record import VideoRecord
from pipeline.shards.reader import open_shard
from pipeline.shards.schema import ShardHeader
from pipeline.shards.writer import ShardWriter
from pipeline.video import hash_frames, probe_video, read_frames
from student.clips import ClipReader
from student.dataset import EvaluationDataset, TrainDataset
from student.evaluation import Views, score_videos
from student.initialisation import load_imagenet_weights
from student.kinet import kinet_squeezenet1_1
from student.recipes import apply_overrides, read_recipe
from student.scores import measure_accuracy
from student.train import train_loop
from student.transforms import MultiScaleCrop
from tests.student.conftest import ShardLabels

ACTIONS = ("clap", "golf", "jump", "pour", "pullup", "shoot_bow", "swing_baseball", "walk")
CLIPS_OF_EACH = 2
CHANGES = (
    "epochs=12",
    "batch_size=8",
    "micro_batch=8",
    "learning_rate=0.002",
    "milestones=[9]",
    "dropout=0.2",
    "input_size=96",
    "human_weight=0.1",
    "scene_weight=0.1",
)


def _list_clips(data_dir: Path) -> list[VideoRecord]:
    records = []
    for label, action in enumerate(ACTIONS):
        paths = sorted((data_dir / "jhmdb" / "videos" / action).glob("*.mp4"))[:CLIPS_OF_EACH]
        records += [VideoRecord(f"{action}/{path.stem}", path, "train", label, action) for path in paths]
    return records


def _write_labels(path: Path, records: list[VideoRecord], data_dir: Path) -> ShardLabels:
    """Label the clips: the person as annotated; the action's number stands for a scene that goes with it."""
    header = ShardHeader(
        dataset="jhmdb", split="train", height=256, width=340, fingerprint="f", frame_resize="256x340", decoder="PyAV",
        human_teacher="annotators", scene_teacher="none", created_by="tests",
    )  # fmt: skip
    rows, columns = np.arange(256) * 240 // 256, np.arange(340) * 320 // 340
    with ShardWriter(path, header) as writer:
        for record in records:
            num_frames = probe_video(record.path).num_frames
            outlines = np.load(data_dir / "jhmdb" / "masks" / f"{record.video_id}.npz")["mask"]
            masks = outlines[:, rows][:, :, columns].astype(bool)
            scenes = np.tile(record.label + np.arange(5), (num_frames, 1))
            probs = np.tile(np.array([0.8, 0.1, 0.05, 0.03, 0.02], np.float32), (num_frames, 1))
            hashes = hash_frames(read_frames(record.path, range(num_frames)))
            writer.begin_video(record.video_id)
            writer.append(masks, scenes, probs, hashes, np.ones(num_frames, np.bool_))
            writer.end_video(seek_exact=True)
        writer.commit()
    with open_shard(path) as shard:
        assert len(shard.video_ids) == len(records)
    return ShardLabels(path)


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_kinet_learns_sixteen_real_clips_by_heart(tmp_path: Path) -> None:
    data_dir = os.environ.get("KINET_REAL_DATA")
    if not data_dir:
        pytest.skip("KINET_REAL_DATA is not set: no real clips and no ImageNet weights at hand")
    records = _list_clips(Path(data_dir))
    assert len(records) == 16
    labels = _write_labels(tmp_path / "train-00000-of-00001.h5", records, Path(data_dir))
    recipe = apply_overrides(read_recipe("small"), CHANGES)
    model = kinet_squeezenet1_1(len(ACTIONS), dropout=recipe.dropout, seed=recipe.seed)
    load_imagenet_weights(model, Path(data_dir) / "weights" / "squeezenet1_1_imagenet_torchvision.pth")
    dataset = TrainDataset(
        records,
        reader=ClipReader(labels, cache_bytes=300 * 2**20),
        num_segments=recipe.num_segments,
        crop=MultiScaleCrop(recipe.input_size, recipe.scales, recipe.max_distort, recipe.flip_probability),
        seed=recipe.seed,
    )
    device = torch.device("cpu")
    summary = train_loop(recipe, model, dataset, run_dir=tmp_path / "run", device=device)
    assert summary.faults == {}
    views = Views(num_segments=3, num_crops=1, input_size=recipe.input_size)
    whole_clips = EvaluationDataset(records, num_segments=views.num_segments, input_size=views.input_size)
    accuracy = measure_accuracy(score_videos(model, whole_clips, views, device=device))
    assert (accuracy.videos, accuracy.top1) == (16, 1.0)
