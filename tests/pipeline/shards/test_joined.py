"""Two teachers' own shards, read as one: each label from where it is, none invented, none of another frame."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.shards import JoinedLabels, LabelIndex, open_labels
from tests.pipeline.shards.made import assert_same, commit_shard, pick

LENGTHS = [12, 30, 25]


def commit(folder: Path, lengths: list[int], teachers: tuple[str, ...], seed: int = 0, prefix: str = "v"):  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True, exist_ok=True)
    return commit_shard(folder / "train-00000-of-00001.h5", lengths, seed, prefix, teachers)


def test_the_join_equals_the_joint_labels(tmp_path: Path) -> None:
    joint = commit(tmp_path / "joint", LENGTHS, ("human", "scene"))
    for kind in ("human", "scene"):
        commit(tmp_path / "sets" / kind, LENGTHS, (kind,))
    labels = pickle.loads(pickle.dumps(open_labels(tmp_path / "sets")))
    assert set(labels) == set(joint.videos) and len(labels) == 3
    for video_id, expected in joint.videos.items():
        assert labels.teachers_of(video_id) == ("human", "scene")
        indices = np.random.default_rng(0).permutation(labels.num_frames(video_id))
        found = labels.read(video_id, indices)
        assert found.conflicting is not None and not found.conflicting.any()
        assert_same(found._replace(conflicting=None), pick(expected, indices))
    labels.close()


def test_the_joint_set_alone_is_itself(tmp_path: Path) -> None:
    made = commit(tmp_path, LENGTHS, ("human", "scene"))
    labels = open_labels(tmp_path)
    assert_same(labels.read("v1", range(30)), made.videos["v1"])


def test_a_video_in_one_set_alone_lacks_the_others_labels(tmp_path: Path) -> None:
    commit(tmp_path / "human", LENGTHS[:2], ("human",))
    commit(tmp_path / "scene", LENGTHS, ("scene",))
    labels = open_labels(tmp_path)
    assert labels.teachers_of("v2") == ("scene",) and labels.teachers_of("nowhere") == ()
    found = labels.read("v2", [0, 24])
    assert found.masks is None and found.scene_indices is not None and found.conflicting is None
    with pytest.raises(ValueError, match="nowhere has no labels"):
        labels.read("nowhere", [0])


def test_frames_whose_hashes_differ_are_marked(tmp_path: Path) -> None:
    commit(tmp_path / "human", [20], ("human",), seed=1)
    scenes = commit(tmp_path / "scene", [22], ("scene",), seed=2)
    labels = open_labels(tmp_path)
    assert labels.num_frames("v0") == 20
    found = labels.read("v0", range(20))
    masks = LabelIndex(tmp_path / "human").read("v0", range(20))
    both_valid = masks.valid & scenes.videos["v0"].valid[:20]
    np.testing.assert_array_equal(found.conflicting, both_valid)
    np.testing.assert_array_equal(found.valid, both_valid)


def test_the_same_teacher_twice_is_refused(tmp_path: Path) -> None:
    commit(tmp_path, LENGTHS, ("human", "scene"))
    commit(tmp_path / "scene", LENGTHS, ("scene",))
    with pytest.raises(ShardError, match="labelled by the same teacher"):
        open_labels(tmp_path)


def test_nothing_to_join(tmp_path: Path) -> None:
    assert len(open_labels(tmp_path / "nowhere")) == 0 and len(JoinedLabels([])) == 0
