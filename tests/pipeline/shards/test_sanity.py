"""Figures of the labels against those counted from the labels themselves; broken teachers are named."""

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.shards import FrameLabels, LabelFigures, ShardWriter, find_oddities, sum_figures
from pipeline.shards.sanity import measure_labels
from tests.pipeline.shards.made import append, commit_shard, make_header, make_labels


def test_figures_are_those_of_the_labels(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [300, 0, 50])
    figures = measure_labels(made.path)
    masks = np.concatenate([labels.masks for labels in made.videos.values()])
    best = np.concatenate([labels.scene_indices[:, 0] for labels in made.videos.values()])
    assert (figures.videos, figures.frames, figures.masks) == (3, 350, 350)
    assert figures.coverage / 350 == pytest.approx(masks.mean())
    assert (figures.empty_masks, figures.full_masks, figures.only_mask) == (0, 0, None)
    assert figures.scenes == {scene: int((best == scene).sum()) for scene in set(best.tolist())}
    shares = np.unique(best, return_counts=True)[1] / 350
    assert figures.scene_entropy_bits == pytest.approx(-(shares * np.log2(shares)).sum())


def test_shards_sum_to_the_figures_of_one(tmp_path: Path) -> None:
    parts = [
        measure_labels(commit_shard(tmp_path / f"train-0000{i}-of-00002.h5", [20, 30], seed=i).path) for i in (0, 1)
    ]
    total = sum_figures(parts)
    assert total.frames == 100 and total.videos == 4
    assert total.coverage == pytest.approx(sum(part.coverage for part in parts))
    assert sum(total.scenes.values()) == 100
    assert sum_figures([]).as_json()["mean_coverage"] is None


def commit_constant(path: Path, fill: bool | None, videos: int = 8) -> LabelFigures:
    """Commit a shard whose masks are all empty, all full, or with None all the same random one."""
    generator = np.random.default_rng(3)
    with ShardWriter(path, make_header()) as writer:
        labels = make_labels(generator, 4)
        masks = np.repeat(labels.masks[:1], 4, axis=0) if fill is None else np.full_like(labels.masks, fill)
        scenes = np.repeat(labels.scene_indices[:1], 4, axis=0)
        for number in range(videos):
            writer.begin_video(f"v{number}")
            append(writer, FrameLabels(masks, scenes, labels.scene_probs, labels.valid, labels.frame_hashes))
            writer.end_video(seek_exact=True)
        writer.commit()
    return measure_labels(path)


@pytest.mark.parametrize(("fill", "said"), [(False, "are empty"), (True, "cover the whole frame"), (None, "the same")])
def test_constant_outputs_are_named(tmp_path: Path, fill: bool | None, said: str) -> None:
    broken = commit_constant(tmp_path / "a.h5", fill)
    assert broken.only_mask is not None and broken.scene_entropy_bits == 0
    found = find_oddities({"a": broken})
    assert len(found) == 2 and said in found[0] and "as their best" in found[1]
    sound = measure_labels(commit_shard(tmp_path / "train-00000-of-00001.h5", [400] * 8).path)
    assert find_oddities({"b": sound}) == []
    assert [text.split(":")[0] for text in find_oddities({"a": broken, "b": sound})] == ["a", "a"]


@pytest.mark.parametrize("num_sound", [9, 60])
def test_the_one_broken_shard_is_named_however_many_are_sound(num_sound: int) -> None:
    sound = LabelFigures(20, 1000, 1000, 100, 0, 300.0, None, {4: 500, 7: 500})
    broken = LabelFigures(20, 1000, 1000, 0, 1000, 1000.0, "digest", {4: 500, 7: 500})
    found = find_oddities({"broken": broken, **{f"sound{n}": sound for n in range(num_sound)}})
    assert [text for text in found if not text.startswith("all shards")] == [
        "broken: all 1000 masks cover the whole frame"
    ]


def test_a_few_videos_may_look_alike(tmp_path: Path) -> None:
    assert find_oddities({"a": commit_constant(tmp_path / "a.h5", False, videos=7)}) == []


def test_nearly_empty_and_nearly_one_scene_are_named() -> None:
    figures = LabelFigures(100, 1000, 1000, 990, 0, 2.0, None, {4: 960, 7: 40})
    assert figures.scene_entropy_bits == pytest.approx(-(0.96 * math.log2(0.96) + 0.04 * math.log2(0.04)))
    found = find_oddities({"a": figures})
    assert "99.0% of the masks are empty" in found[0] and "0.24 bits of entropy" in found[1]
