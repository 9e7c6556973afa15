"""Files that appear whole or not at all, whoever else writes them at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from manifests.atomic import publish


def test_two_threads_that_write_one_file_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    both_wrote = threading.Barrier(2, timeout=10)

    def write(letter: str) -> None:
        with publish(path) as part_path:
            part_path.write_text(letter * 1000)
            both_wrote.wait()
            assert part_path.read_text() == letter * 1000

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(write, "ab")) == [None, None]
    assert path.read_text() in ("a" * 1000, "b" * 1000) and list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("old")
    with pytest.raises(KeyError), publish(path) as part_path:
        part_path.write_text("half")
        raise KeyError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
