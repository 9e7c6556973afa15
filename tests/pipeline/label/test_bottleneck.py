"""The verdict on what bounds a run: hand-made seconds, and the receipts of a real one."""

import re

import pytest

from pipeline.label.bottleneck import find_bottleneck
from pipeline.label.status import LabelStatus
from pipeline.shards import read_receipt
from pipeline.shards.receipts import find_receipts
from tests.pipeline.label.conftest import Bench


@pytest.mark.parametrize(
    ("stage_seconds", "stage", "remedy"),
    [
        ({"decode_wait": 61.0, "teachers": 30.0, "write": 9.0}, "decode_wait", "wait for decoding 61% .* pre-resize"),
        ({"decode_wait": 5.0, "teachers": 85.0, "write": 9.0}, "teachers", "waits for the teachers 85% .* add GPUs"),
        ({"decode_wait": 5.0, "teachers": 25.0, "write": 69.0}, "write", "writing takes 69%"),
        ({"decode_wait": 40.0, "teachers": 45.0, "write": 15.0}, "balanced", "teachers 45%, decode_wait 40%"),
        ({"decode_wait": 60.0, "teachers": 30.0}, "decode_wait", "60%"),
        ({"decode_wait": 31.0, "decode_alone": 29.0, "teachers": 30.0}, "decode_wait", "60% .* add CPUs"),
        ({"decode_wait": 9.0, "decode_alone": 51.0, "teachers": 30.0}, "decode_alone", "60% .* one long video at a"),
    ],
)
def test_the_largest_stage_is_named_with_its_remedy(stage_seconds: dict[str, float], stage: str, remedy: str) -> None:
    bottleneck = find_bottleneck(100.0, stage_seconds)
    assert bottleneck is not None and bottleneck.stage == stage
    waits = stage_seconds["decode_wait"] + stage_seconds.get("decode_alone", 0.0)
    assert bottleneck.share == pytest.approx(max(waits, *stage_seconds.values()) / 100)
    assert re.search(remedy, bottleneck.text)


def test_nothing_timed_is_no_verdict() -> None:
    assert find_bottleneck(0.0, {}) is None
    assert find_bottleneck(10.0, {"decode": 5.0}) is None


def test_a_run_without_a_frame_is_no_verdict() -> None:
    status = LabelStatus(
        1, 0, 0, 1, 0, frames=0, shards=1, planned_shards=1, reasons={}, seconds=1, stage_seconds={"write": 0.9}
    )
    assert status.bottleneck is None and status.as_json()["bottleneck"] is None


def test_a_runs_stages_are_parts_of_its_seconds(bench: Bench) -> None:
    bench.teachers.human_path.write_text("0.1")
    status = bench.label().status
    for path in find_receipts(bench.shards_dir):
        receipt = read_receipt(path)
        assert set(receipt.stage_seconds) == {"decode_wait", "decode_alone", "teachers", "write"}
        assert all(seconds >= 0 for seconds in receipt.stage_seconds.values())
        assert sum(receipt.stage_seconds.values()) <= receipt.seconds
    assert status.stage_seconds["teachers"] >= 0.1 * status.frames / 8
    assert status.bottleneck is not None and status.bottleneck.text in status.as_text()
    assert status.as_json()["bottleneck"]["stage"] == status.bottleneck.stage
