"""What the machine chose at the first start, precision and batch size, stands in the plan, and holds from then on."""

import dataclasses
import json

import pytest
import torch

from pipeline.commands.labelling import choose_settings
from pipeline.commands.labelling_options import LabellingChoice
from pipeline.errors import PlanError
from pipeline.label.plan import PLAN_NAME
from pipeline.label.settings import CPU_BATCH_SIZE, GPU_BATCH_SIZE
from pipeline.label.teacher_loading import choose_precision
from tests.pipeline.commands.test_label_status_verify import TOYS, raise_of, run
from tests.pipeline.label.conftest import Bench

CHOICE = LabellingChoice(
    address=None,
    workers=0,
    cpus_per_worker=None,
    recycle_after=50,
    decoders=None,
    stall_sec=120.0,
    teacher_stall_sec=900.0,
    decoder_memory_gib=None,
    video_sec=21600.0,
    attempts=3,
    progress="none",
    progress_every=30.0,
)
DEFAULTS = [option for option in TOYS if option not in ("--batch-size", "8")]


def test_a_resumed_run_takes_precision_and_batch_size_from_the_plan(bench: Bench) -> None:
    assert choose_settings(CHOICE, bench.shards_dir).batch_size is None
    first = run(bench, "label", *TOYS, "--videos-per-shard", "3", "--precision", "bfloat16")
    assert first.exit_code == 0, first.output
    path = bench.shards_dir / PLAN_NAME
    plan = json.loads(path.read_text())
    assert plan["batch_size"] == 8 and plan["ingredients"]["precision"] == "bfloat16"

    name = next(bench.shards_dir.glob("*.h5")).stem
    labels = (bench.shards_dir / f"{name}.h5").read_bytes()
    (bench.shards_dir / f"{name}.json").unlink()
    # On its own, a machine without bfloat16 would begin in float32.
    second = run(bench, "label", *DEFAULTS)
    assert second.exit_code == 0, second.output
    assert (bench.shards_dir / f"{name}.h5").read_bytes() == labels

    told = dataclasses.replace(CHOICE, batch_size=4)
    assert choose_settings(told, bench.shards_dir).batch_size == 4
    assert choose_settings(CHOICE, bench.shards_dir).batch_size == 8
    del plan["batch_size"]
    path.write_text(json.dumps(plan))
    assert choose_settings(CHOICE, bench.shards_dir).batch_size == CPU_BATCH_SIZE


def test_at_first_the_device_decides(bench: Bench) -> None:
    assert run(bench, "label", *DEFAULTS).exit_code == 0
    on_gpu = torch.cuda.is_available()
    plan = json.loads((bench.shards_dir / PLAN_NAME).read_text())
    assert plan["batch_size"] == (GPU_BATCH_SIZE if on_gpu else CPU_BATCH_SIZE)
    device = torch.device("cuda" if on_gpu else "cpu")
    assert plan["ingredients"]["precision"] == choose_precision("auto", device)
    assert choose_precision("bfloat16", device) == "bfloat16"


def test_another_precision_is_refused_and_a_finished_job_starts_no_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(bench, "label", *TOYS).exit_code == 0

    def refuse_to_start(*_: object) -> None:
        raise AssertionError("workers are started")

    monkeypatch.setattr("pipeline.commands.labelling.open_workers", refuse_to_start)
    begun = choose_precision("auto", torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    for options in ([], ["--precision", begun]):
        again = run(bench, "label", *TOYS, *options, "--json")
        assert again.exit_code == 0, again.exception
        assert json.loads(again.stdout)["missing"] == 0
    other = "float32" if begun == "bfloat16" else "bfloat16"
    with pytest.raises(PlanError, match=f"another precision \\({begun} then, {other} now\\)"):
        raise_of(run(bench, "label", *TOYS, "--precision", other))
