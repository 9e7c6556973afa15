"""The outline says of a plan's shards what the plan says, as long as the manifest is the file it was made from."""

import json
from pathlib import Path

import pytest

from manifests import read_manifest, write_manifest
from pipeline.datasets import digest_manifest_file
from pipeline.errors import OptionError, PlanError
from pipeline.label.outline import read_outline
from pipeline.label.plan import read_plan
from tests.pipeline.commands.test_label_status_verify import TOYS, raise_of, run
from tests.pipeline.label.conftest import Bench


def test_an_outline_is_the_plans(bench: Bench) -> None:
    assert read_outline(bench.shards_dir, "mix", digest_manifest_file(bench.workspace, "mix")) is None
    assert run(bench, "label", *TOYS, "--videos-per-shard", "3", "--split", "train").exit_code == 0
    plan = read_plan(bench.shards_dir, "mix", bench.records)
    outline = read_outline(bench.shards_dir, "mix", digest_manifest_file(bench.workspace, "mix"))
    assert plan is not None and outline is not None
    assert outline.fingerprint == plan.fingerprint
    for split in (None, "train", "val"):
        assert [(shard.name, shard.num_videos) for shard in outline.of_split(split)] == [
            (shard.name, shard.num_videos) for shard in plan.of_split(split)
        ]
    with pytest.raises(OptionError, match="no video in split 'test'; its manifest has train, val"):
        outline.of_split("test")


def test_status_says_the_same_whether_the_manifest_is_read_or_not(bench: Bench) -> None:
    assert run(bench, "label", *TOYS, "--videos-per-shard", "3", "--split", "train").exit_code == 0
    manifest_path = bench.workspace.manifest_path("mix")
    counts = {split: run(bench, "status", "--json", *split).stdout for split in ((), ("--split", "val"))}
    assert json.loads(counts[()])["planned"] == len(bench.records)

    # Another text of the same rows.
    manifest_path.write_text(manifest_path.read_text() + "\n")
    assert read_outline(bench.shards_dir, "mix", digest_manifest_file(bench.workspace, "mix")) is None
    assert {split: run(bench, "status", "--json", *split).stdout for split in counts} == counts
    # The next start takes note of it.
    assert run(bench, "label", *TOYS).exit_code == 0
    assert read_outline(bench.shards_dir, "mix", digest_manifest_file(bench.workspace, "mix")) is not None


def test_status_refuses_another_manifest(bench: Bench, tmp_path: Path) -> None:
    assert run(bench, "label", *TOYS).exit_code == 0
    manifest_path = bench.workspace.manifest_path("mix")
    write_manifest(manifest_path, read_manifest(manifest_path)[1:])
    with pytest.raises(PlanError, match="the manifest of mix changed since labelling began"):
        raise_of(run(bench, "status"))
