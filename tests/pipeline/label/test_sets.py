"""One teacher alone labels into shards of its own; the second one, added later, labels only what is missing."""

import json

import h5py
import numpy as np
import pytest

from pipeline.errors import WorkspaceError
from pipeline.label.sets import existing_set, set_to_label
from pipeline.shards import LabelIndex
from pipeline.shards.schema import BOTH_TEACHERS
from tests.pipeline.commands.test_label_status_verify import TOYS, raise_of, run
from tests.pipeline.label.conftest import Bench

SIZE = ("--videos-per-shard", "3")


def test_each_teacher_alone_says_what_it_says_together_with_the_other(bench: Bench) -> None:
    run(bench, "label", *TOYS, *SIZE)
    joint = LabelIndex(bench.shards_dir)
    away = bench.shards_dir.rename(bench.workspace.root / "joint")
    bench.teachers.human_path.unlink()
    scene = json.loads(run(bench, "label", *TOYS, *SIZE, "--teachers", "scene", "--json").stdout)
    assert scene["missing"] == 0 and not (bench.shards_dir / "plan.json").exists()
    with pytest.raises(WorkspaceError, match="label --dataset mix --teachers human, or label into another"):
        raise_of(run(bench, "label", *TOYS))
    bench.teachers.human_path.write_text("0")
    kept = {path: path.stat().st_mtime_ns for path in (bench.shards_dir / "scene").glob("*-of-*")}
    human = json.loads(run(bench, "label", *TOYS, *SIZE, "--teachers", "human", "--json").stdout)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {key: human[key] for key in ("planned", "ok", "frames")} == {
        key: scene[key] for key in ("planned", "ok", "frames")
    }
    joint.shards_dir = away
    masks, scenes = LabelIndex(bench.shards_dir / "human"), LabelIndex(bench.shards_dir / "scene")
    for video_id in joint:
        frames = range(joint.num_frames(video_id))
        expected, mask, scene_labels = (index.read(video_id, frames) for index in (joint, masks, scenes))
        assert mask.scene_indices is None and scene_labels.masks is None and scene_labels.scene_probs is not None
        np.testing.assert_array_equal(mask.masks, expected.masks)
        np.testing.assert_array_equal(scene_labels.scene_probs, expected.scene_probs)
        np.testing.assert_array_equal(mask.frame_hashes, scene_labels.frame_hashes)
    for kind in ("human", "scene"):
        assert (bench.shards_dir / kind / "quarantine.csv").exists()
        status = json.loads(run(bench, "status", "--teachers", kind, "--json").stdout)
        assert status["missing"] == 0
        assert json.loads(run(bench, "verify", "--jobs", "1", "--teachers", kind, "--json").stdout)["ok"]
    with pytest.raises(WorkspaceError, match="say --teachers human or --teachers scene"):
        raise_of(run(bench, "status"))


def test_commands_mean_the_only_set_there_is(bench: Bench) -> None:
    run(bench, "label", *TOYS, *SIZE, "--teachers", "scene")
    assert json.loads(run(bench, "status", "--json").stdout)["missing"] == 0
    path = sorted((bench.shards_dir / "scene").glob("*.h5"))[0]
    before = path.read_bytes()
    path.write_bytes(before[:-5])
    assert json.loads(run(bench, "verify", "--repair", "--jobs", "1", "--json", *TOYS).stdout)["ok"]
    assert path.read_bytes() == before
    with h5py.File(path) as file:
        assert "mask" not in file and "human_teacher" not in file.attrs


def test_labels_that_are_there_already_are_not_made_again(bench: Bench) -> None:
    bench.label()
    with pytest.raises(WorkspaceError, match="--teachers human,scene, or label into another workspace"):
        set_to_label(bench.workspace, "mix", ("scene",))
    assert existing_set(bench.workspace, "mix", None).kinds == ("human", "scene")


def test_teachers_that_are_labelled_one_by_one_are_named_as_such(bench: Bench) -> None:
    bench.label()
    for kind in BOTH_TEACHERS:
        folder = bench.workspace.teacher_shards_dir("mix", kind)
        folder.mkdir(parents=True)
        (folder / "plan.json").write_bytes((bench.shards_dir / "plan.json").read_bytes())
    (bench.shards_dir / "plan.json").unlink()
    with pytest.raises(WorkspaceError, match=r"in sets of their own, .* where it is not complete"):
        set_to_label(bench.workspace, "mix", None)


def test_an_unknown_teacher_is_wrong_usage(bench: Bench) -> None:
    assert run(bench, "label", "--teachers", "depth").exit_code == 2
