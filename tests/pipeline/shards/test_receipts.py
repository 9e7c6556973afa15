"""A receipt comes back equal, and a malformed one is a ShardError with the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ShardError
from pipeline.shards import LabelIndex, VideoOutcome, read_receipt, write_receipt
from pipeline.shards.receipts import find_receipts, load_all_receipts
from pipeline.shards.schema import shard_name
from tests.pipeline.shards.made import commit_shard


def test_round_trip(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [4, 5, 6])
    receipt = read_receipt(made.receipt_path)
    assert (receipt.frames, receipt.videos, receipt.labelled_ids) == (15, 3, ("v0", "v1", "v2"))
    copy = tmp_path / "train-00001-of-00001.json"
    write_receipt(copy, receipt)
    assert read_receipt(copy) == receipt
    assert copy.read_bytes() == made.receipt_path.read_bytes()


def test_the_plan_is_no_receipt(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [4])
    (tmp_path / "plan.json").write_text("{}")
    assert find_receipts(tmp_path) == [made.receipt_path]
    assert find_receipts(tmp_path / "nowhere") == []


@pytest.mark.parametrize("count", [1, 480, 99_999, 100_000, 240_000])
def test_receipts_are_found_whatever_the_number_of_shards(tmp_path: Path, count: int) -> None:
    names = {shard_name("train", index, count) for index in {0, count // 2, count - 1}}
    for name in (*names, "plan"):
        (tmp_path / f"{name}.json").touch()
    assert {path.stem for path in find_receipts(tmp_path)} == names


def test_a_receipt_that_goes_after_it_was_listed_is_none(tmp_path: Path) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00002.h5", [4])
    gone = tmp_path / "train-00001-of-00002.json"
    gone.symlink_to(tmp_path / "nowhere")  # listed, but not there
    assert find_receipts(tmp_path) == [made.receipt_path, gone]
    assert [path for path, _ in load_all_receipts(tmp_path)] == [made.receipt_path]
    assert len(LabelIndex(tmp_path)) == 1


def _with_outcome(values: dict[str, Any], **changes: Any) -> str:
    """Change the last outcome, a quarantined video's, in a receipt without a digest."""
    *others, last = values["outcomes"]
    return json.dumps({**_without("digest", values), "outcomes": [*others, {**last, **changes}]})


def _without(name: str, values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    "damage",
    [
        lambda values: "{",
        lambda values: "[]",
        lambda values: json.dumps({**values, "schema_version": 99}),
        lambda values: json.dumps({**values, "unknown": 1}),
        lambda values: json.dumps(_without("sha256", values)),
        lambda values: json.dumps(_without("outcomes", values)),
        lambda values: json.dumps({**values, "frames": 16}),
        lambda values: json.dumps({**values, "sha256": None}),
        lambda values: json.dumps({**values, "shard_bytes": "many"}),
        lambda values: json.dumps({**values, "outcomes": [{**values["outcomes"][0], "outcome": "fine"}]}),
        lambda values: json.dumps({**values, "outcomes": [{**values["outcomes"][0], "frames": "x"}]}),
        lambda values: json.dumps({**values, "outcomes": 3}),
        # In a receipt of an older program, without a digest.
        lambda values: json.dumps({**_without("digest", values), "shard_index": 44}),
        lambda values: json.dumps({**_without("digest", values), "shard_count": 44}),
        lambda values: json.dumps({**_without("digest", values), "seconds": float("inf")}),
        lambda values: _with_outcome(values, reason="because"),
        lambda values: _with_outcome(values, reason=[]),
        lambda values: _with_outcome(values, attempts=-7),
        lambda values: _with_outcome(values, declared_frames=-1),
        lambda values: _with_outcome(values, mask_quality={"coverage": 99}),
        # With one.
        lambda values: json.dumps({**values, "seconds": 1e9}, indent=1),
        lambda values: json.dumps(values),
    ],
)
def test_a_malformed_receipt_names_itself_and_the_way_out(tmp_path: Path, damage: Any) -> None:
    made = commit_shard(tmp_path / "train-00000-of-00001.h5", [4, 5, 6])
    made.receipt_path.write_text(damage(json.loads(made.receipt_path.read_text())))
    with pytest.raises(ShardError, match=r"train-00000-of-00001\.json: malformed .*verify --repair"):
        read_receipt(made.receipt_path)


def test_outcomes_that_contradict_themselves() -> None:
    for wrong in (
        {"outcome": "ok", "reason": "crashed"},
        {"outcome": "quarantined"},
        {"outcome": "quarantined", "reason": "crashed", "frames": 3},
        {"outcome": "ok", "frames": -1},
    ):
        with pytest.raises(ValueError, match="video v: "):
            VideoOutcome(video_id="v", **wrong)  # type: ignore[arg-type]
