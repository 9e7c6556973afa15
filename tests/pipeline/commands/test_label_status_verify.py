"""The three commands of stage one, as a user types them."""

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from manifests import VideoRecord, write_manifest
from pipeline.cli import cli
from pipeline.errors import OptionError, PlanError, ShardError, TeacherError, WorkspaceError
from tests.pipeline.label.conftest import TOY_HUMAN, TOY_SCENE, Bench
from tests.videos import moving_frames, write_video

TOYS = ["--workers", "0", "--batch-size", "8", "--human-teacher", TOY_HUMAN, "--scene-teacher", TOY_SCENE]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "workspace")


def run(bench: Bench, command: str, *options: str) -> Result:
    arguments = [command, "--dataset", "mix", "--workspace", str(bench.workspace.root), *options]
    return CliRunner().invoke(cli, arguments)


def test_label_status_and_verify_agree(bench: Bench) -> None:
    with pytest.raises(WorkspaceError, match="has not begun; run kinet-pipeline label"):
        raise_of(run(bench, "status"))
    labelled = json.loads(run(bench, "label", *TOYS, "--videos-per-shard", "3", "--json").stdout)
    status = json.loads(run(bench, "status", "--json").stdout)
    assert {key: labelled[key] for key in status} == status
    assert status["planned"] == sum(status[key] for key in ("ok", "partial", "quarantined", "missing"))
    assert sum(status["reasons"].values()) == status["partial"] + status["quarantined"]
    verified = json.loads(run(bench, "verify", "--jobs", "1", "--json").stdout)
    assert {key: verified[key] for key in ("shards", "bad", "missing", "ok")} == {
        "shards": status["shards"],
        "bad": [],
        "missing": [],
        "ok": True,
    }
    assert verified["labels"]["frames"] == status["frames"]
    assert sum(figures["frames"] for figures in verified["labels_by_shard"].values()) == status["frames"]


def test_one_flipped_bit_is_found_and_repaired(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    before = bench.shard_bytes()
    name = sorted(before)[1]
    damaged = bytearray(before[name])
    generator = random.Random(5)
    damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
    (bench.shards_dir / name).write_bytes(bytes(damaged))
    found = run(bench, "verify", "--jobs", "1", "--json")
    assert [entry["shard"] + ".h5" for entry in json.loads(found.stdout)["bad"]] == [name]
    with pytest.raises(ShardError, match="1 shards bad, 0 missing; run kinet-pipeline verify --repair"):
        raise_of(found)
    repaired = run(bench, "verify", "--repair", "--jobs", "1", "--json", *TOYS)
    assert repaired.exit_code == 0 and json.loads(repaired.stdout)["ok"]
    assert bench.shard_bytes() == before


def test_a_mask_median_need_be_said_once(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3", "--mask-median", "5")
    before = bench.shard_bytes()
    path = bench.shards_dir / min(before)
    path.write_bytes(before[path.name][:-1])
    checked = run(bench, "verify", "--repair", "--jobs", "1", "--sample", "20", "--json", *TOYS)
    assert checked.exit_code == 0 and json.loads(checked.stdout)["sample"]["identical"] == 20, checked.output
    assert bench.shard_bytes() == before
    assert run(bench, "retry", *TOYS).exit_code == 0
    with pytest.raises(PlanError, match="mask_median: 5 then, 3 now"):
        raise_of(run(bench, "retry", *TOYS, "--mask-median", "3"))


def test_repair_with_another_teacher_takes_nothing_away(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    name = next(bench.shards_dir.glob("*.h5"))
    name.write_bytes(name.read_bytes() + b"x")
    before = sorted(path.name for path in bench.shards_dir.iterdir())
    bench.teachers.scene_path.write_text("another")
    with pytest.raises(PlanError, match="scene_teacher"):
        raise_of(run(bench, "verify", "--repair", "--jobs", "1", *TOYS))
    assert sorted(path.name for path in bench.shards_dir.iterdir()) == before


def test_a_sample_labelled_again_is_identical(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    checked = run(bench, "verify", "--jobs", "1", "--sample", "40", "--json", *TOYS)
    sample = json.loads(checked.stdout)["sample"]
    assert checked.exit_code == 0 and sample["frames"] == sample["identical"] == 40 and sample["mismatches"] == []


def test_a_sample_is_drawn_from_the_whole_shards_where_one_is_bad(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    receipts = sorted(bench.shards_dir.glob("train-*.json"))
    receipts[0].write_text("{")
    checked = run(bench, "verify", "--jobs", "1", "--sample", "1000", "--json", *TOYS)
    sample = json.loads(checked.stdout)["sample"]
    whole = sum(
        json.loads(path.read_text())["frames"] for path in bench.shards_dir.glob("*-of-*.json") if path != receipts[0]
    )
    assert sample["frames"] == sample["identical"] == whole > 0 and sample["left_out"] == [receipts[0].stem]
    text = run(bench, "verify", "--jobs", "1", "--sample", "5", *TOYS).stdout
    assert f"drawn without the bad shards {receipts[0].stem}" in text


def test_repair_checks_the_repaired_shards_alone_and_shows_it(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    receipts = sorted(bench.shards_dir.glob("*-of-*.json"))
    receipts[0].write_text("{")
    checked = run(bench, "verify", "--repair", "--jobs", "1", "--progress", "lines", *TOYS, "--progress-every", "0.001")
    assert checked.exit_code == 0, checked.output
    shown = [line for line in checked.stderr.splitlines() if " verify mix: " in line]
    assert any("1 of 1" in line or "1/1" in line for line in shown), shown


def test_a_video_that_was_exchanged_is_found_by_a_sample(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3")
    write_video(next(record.path for record in bench.records if record.video_id == "good3"), moving_frames(40, seed=9))
    checked = run(bench, "verify", "--jobs", "1", "--sample", "1000", "--json", *TOYS)
    assert [entry["video_id"] for entry in json.loads(checked.stdout)["sample"]["mismatches"]] == ["good3"]
    with pytest.raises(ShardError, match="1 sampled videos differ"):
        raise_of(checked)


def test_a_constant_teacher_is_a_warning_and_with_strict_a_fault(bench: Bench) -> None:
    constant = ["--scene-teacher", "tests.pipeline.label.toy_teachers:load_constant_scene"]
    videos = bench.workspace.root / "videos"
    records = [
        VideoRecord(path.stem, path, "train", 0, "class 0")
        for path in (write_video(videos / f"more{i}.mp4", moving_frames(3, seed=i)) for i in range(8))
    ]
    write_manifest(bench.workspace.manifest_path("mix"), records)
    run(bench, "label", *TOYS, *constant)
    checked = run(bench, "verify", "--jobs", "1", "--json")
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["warnings"] == ["all shards: all 24 frames have scene 7 as their best"]
    with pytest.raises(ShardError, match="1 warnings"):
        raise_of(run(bench, "verify", "--jobs", "1", "--strict"))


def test_a_factory_without_a_function_is_wrong_usage(bench: Bench) -> None:
    assert run(bench, "label", "--workers", "0", "--human-teacher", "nocolon").exit_code == 2


@pytest.mark.parametrize("command", ["label", "status", "retry", "estimate"])
def test_a_wrong_split_is_wrong_usage_and_starts_nothing(bench: Bench, command: str) -> None:
    no_teacher = [] if command == "status" else ["--workers", "0", "--human-teacher", "no_such_module:load"]
    with pytest.raises(OptionError, match="has no video in split 'nowhere'; its manifest has train, val"):
        raise_of(run(bench, command, "--split", "nowhere", *no_teacher))
    assert not bench.shards_dir.exists()


def test_one_teachers_labels_that_have_not_begun_name_the_teacher(bench: Bench) -> None:
    for command in ("status", "verify", "retry"):
        with pytest.raises(WorkspaceError, match="label --dataset mix --teachers scene"):
            raise_of(run(bench, command, "--teachers", "scene"))


def test_repair_leaves_unlabelled_shards_alone(bench: Bench) -> None:
    run(bench, "label", *TOYS, "--videos-per-shard", "3", "--split", "train")
    name = next(bench.shards_dir.glob("train-*.h5"))
    name.write_bytes(name.read_bytes()[:-100])
    missing = json.loads(run(bench, "verify", "--repair", "--jobs", "1", "--json", *TOYS).stdout)["missing"]
    assert missing and all(shard.startswith("val-") for shard in missing)


def test_a_missing_teacher_says_how_to_get_one(bench: Bench) -> None:
    with pytest.raises(TeacherError, match="teacher import human FILE"):
        raise_of(run(bench, "label", "--workers", "0"))


def test_a_changed_manifest_is_named_by_every_command(bench: Bench) -> None:
    run(bench, "label", *TOYS)
    manifest = bench.workspace.manifest_path("mix")
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    for command, options in (("label", TOYS), ("status", []), ("verify", [])):
        with pytest.raises(PlanError, match="manifest of mix changed since labelling began"):
            raise_of(run(bench, command, *options))


def raise_of(result: Result) -> None:
    """Raise what a command raised."""
    assert result.exception is not None, result.output
    raise result.exception
