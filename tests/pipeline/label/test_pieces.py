"""Videos kept one by one: only whole pieces of these very labels are taken, and only of their own shard."""

import dataclasses
from pathlib import Path

import pytest

from pipeline.errors import WorkspaceError
from pipeline.label.job import shard_header
from pipeline.label.journal import ShardJournal, journal_path_of
from pipeline.label.labeller import ShardLabeller
from pipeline.label.pieces import Pieces, shard_of_piece
from pipeline.label.plan import read_plan
from pipeline.label.settings import LabelSettings
from pipeline.label.tasks import ShardTask
from tests.pipeline.label.conftest import Bench


def first_task(bench: Bench) -> ShardTask:
    plan = read_plan(bench.shards_dir, "mix", bench.records)
    assert plan is not None
    return ShardTask(plan.shards[0], shard_header(plan, plan.shards[0].split))


def label_until_put_together(bench: Bench, task: ShardTask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Label a shard as after a death, and end when all of its videos are kept."""
    journal = ShardJournal(journal_path_of(bench.shards_dir, task), "in-process")
    journal.note([task.shard.records[0].video_id])
    del journal

    def fail(*_: object) -> None:
        raise OSError("no more")

    settings = LabelSettings(batch_size=8)
    labeller = ShardLabeller(bench.teachers.load(settings, 1), settings, bench.shards_dir)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no more"):
        patch.setattr(ShardLabeller, "_label_videos", fail)
        labeller.label_shard(task)
    labeller.close()


def test_only_whole_pieces_of_the_same_labels_are_taken(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.label()
    expected, task = bench.shard_bytes(), first_task(bench)
    for path in bench.shards_dir.glob(f"{task.name}.*"):
        path.unlink()
    label_until_put_together(bench, task, monkeypatch)
    ids = [record.video_id for record in task.shard.records]
    pieces = Pieces(bench.shards_dir, task)
    pieces.find()
    assert list(pieces.receipts) == ids
    # Torn, without its receipt; and none is another worker's, or of other labels.
    with pieces.shard_path(ids[0]).open("r+b") as stream:
        stream.truncate(1000)
    pieces.receipt_path(ids[1]).unlink()
    found = Pieces(bench.shards_dir, task)
    found.find()
    assert list(found.receipts) == ids[2:]
    # One that the disk does not give is not taken for one that is torn.
    aside = pieces.shard_path(ids[2]).rename(bench.shards_dir / "aside")
    pieces.shard_path(ids[2]).mkdir()
    with pytest.raises(WorkspaceError, match=r"2.piece: cannot be read \(Is a directory\)"):
        found.find()
    pieces.shard_path(ids[2]).rmdir()
    aside.rename(pieces.shard_path(ids[2]))
    header = dataclasses.replace(task.header, fingerprint="0" * 64)
    for other in (dataclasses.replace(task, is_copy=True), dataclasses.replace(task, header=header)):
        none = Pieces(bench.shards_dir, other)
        none.find()
        assert not none.receipts
    assert bench.label().status.missing == 0 and bench.shard_bytes() == expected
    assert not [path for path in bench.shards_dir.iterdir() if shard_of_piece(path)]


def test_a_piece_is_known_by_its_name() -> None:
    assert shard_of_piece(Path("train-00012-of-240000.0.piece")) == "train-00012-of-240000"
    assert shard_of_piece(Path("train-123456-of-240000.3.json")) == "train-123456-of-240000"
    for name in ("v1.5-00003-of-00010.0.piece", "v1.5-00003-of-00010.12.json", "v1.5-00003-of-00010.copy.7.piece"):
        assert shard_of_piece(Path(name)) == "v1.5-00003-of-00010"
    for name in ("v1.5-00003-of-00010.json", "plan.json", "v1.5-00003-of-00010.0a1b.h5.next", "x.journal"):
        assert shard_of_piece(Path(name)) is None
