"""``--compile``: teachers compile themselves once, before any video, and their labels stay what they were."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from torch._dynamo.utils import counters

from pipeline.errors import PlanError, TeacherError
from pipeline.shards import LabelIndex
from tests.pipeline.commands.test_label_status_verify import TOYS, run
from tests.pipeline.label.conftest import Bench

TEACHER = "tests.pipeline.label.compiled_teachers:load"
OPTIONS = ["--workers", "0", "--batch-size", "8", "--teachers", "human", "--human-teacher", TEACHER]

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")


def read_masks(shards_dir: Path) -> dict[str, np.ndarray]:
    index = LabelIndex(shards_dir)
    return {name: index.read(name, range(index.num_frames(name))).masks for name in index}  # type: ignore[misc]


@needs_compiler
def test_labels_of_a_compiled_teacher_are_its_labels(bench: Bench, tmp_path: Path) -> None:
    assert run(bench, "label", *OPTIONS).exit_code == 0
    plain = read_masks(bench.shards_dir / "human")
    compiled = Bench(tmp_path / "compiled")
    counters.clear()
    result = run(compiled, "label", *OPTIONS, "--compile")
    assert result.exit_code == 0, result.output
    # Once: every batch, the last of a shard too, has the same size.
    assert counters["stats"]["unique_graphs"] == 1
    found = read_masks(compiled.shards_dir / "human")
    assert found.keys() == plain.keys()
    for name, masks in plain.items():
        assert 0 < masks.mean() < 1
        assert np.mean(found[name] != masks) < 1e-4, name

    with pytest.raises(PlanError, match="compiled: yes then, nothing now"):
        raise_of(run(compiled, "retry", *OPTIONS, "--no-compile"))
    shard = min((compiled.shards_dir / "human").glob("*.h5"))
    before = shard.read_bytes()
    shard.unlink()
    shard.with_suffix(".json").unlink()
    assert run(compiled, "label", *OPTIONS).exit_code == 0
    assert shard.read_bytes() == before
    checked = run(compiled, "verify", *OPTIONS, "--sample", "20", "--jobs", "1", "--json")
    assert checked.exit_code == 0 and json.loads(checked.stdout)["sample"]["identical"] == 20, checked.output


def test_a_teacher_that_cannot_be_compiled_is_one_line_before_any_plan(bench: Bench) -> None:
    with pytest.raises(TeacherError, match="toy_teachers:load_human: has no method compile; label without --compile"):
        raise_of(run(bench, "label", *TOYS, "--compile"))
    broken = [*OPTIONS[:-1], TEACHER.replace(":load", ":load_broken")]
    with pytest.raises(TeacherError, match=r"cannot be compiled; label without --compile.*: RuntimeError: no compiler"):
        raise_of(run(bench, "label", *broken, "--compile"))
    assert not (bench.shards_dir / "human" / "plan.json").exists() and not (bench.shards_dir / "plan.json").exists()


def raise_of(result: object) -> None:
    raise result.exception  # type: ignore[attr-defined]
