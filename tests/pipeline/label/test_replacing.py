"""A kill at any step of a replacement leaves the old pair, the new pair, or what the next run finishes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import WorkspaceError
from pipeline.label.replacing import finish_replacements, next_path_of, replace_shard

OLD, NEW = {"s.h5": "old shard", "s.json": "old receipt"}, {"s.h5": "new shard", "s.json": "new receipt"}


class Killed(Exception):
    pass


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def prepare(folder: Path, *, receipt: bool = True) -> None:
    for name, text in OLD.items():
        (folder / name).write_text(text)
    next_path_of(folder / "s.h5").write_text(NEW["s.h5"])
    if receipt:
        next_path_of(folder / "s.json").write_text(NEW["s.json"])


def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the n-th change of the folder be the last one: stop right after it."""
    done = 0

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def stop_after(*args: object, **options: object) -> object:
            nonlocal done
            if done == step:
                raise Killed
            done += 1
            return change(*args, **options)

        return stop_after

    for name in ("unlink", "replace"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))


@pytest.mark.parametrize("step", range(4))
def test_a_kill_between_any_two_steps_is_finished_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    prepare(tmp_path)
    with monkeypatch.context() as patched:
        killed_at(step, patched)
        try:
            replace_shard(tmp_path, "s")
        except Killed:
            found = content(tmp_path)
            receipt, shard = found.get("s.json"), found["s.h5"]
            assert receipt is None or {"s.h5": shard, "s.json": receipt} in (OLD, NEW)
    finish_replacements(tmp_path)
    assert content(tmp_path) == NEW


def test_half_a_pair_leaves_the_old_one(tmp_path: Path) -> None:
    prepare(tmp_path, receipt=False)
    finish_replacements(tmp_path)
    assert content(tmp_path) == OLD


def test_a_folder_without_the_new_pair(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be written"):
        replace_shard(tmp_path, "s")
