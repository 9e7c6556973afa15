"""A file written atomically has its old content or its new one, and nothing is left beside it."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch

from pipeline.errors import WorkspaceError
from pipeline.files import sha256_of_file, write_atomically, writing


def test_text_and_bytes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for content in ("first, é", b"second"):
        write_atomically(path, content)
        expected = content.encode() if isinstance(content, str) else content
        assert path.read_bytes() == expected
        assert sha256_of_file(path) == hashlib.sha256(expected).hexdigest()
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(KeyError), writing(path) as part_path:
        part_path.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_process_number_do_not_meet(tmp_path: Path) -> None:
    # As pods that share a disk: each counts its processes from 1.
    path = tmp_path / "a.txt"
    with writing(path) as first:
        first.write_text("first")
        with writing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_a_library_s_private_file_gets_the_umask_s_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    former = os.umask(0o027)
    try:
        with writing(path) as part_path:
            safetensors.torch.save_file({"a": torch.arange(3)}, part_path)
        (tmp_path / "usual").touch()
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode) == 0o640
    assert len(list(tmp_path.iterdir())) == 2


TOO_LARGE = """
import resource, sys
from pathlib import Path
from pipeline.errors import WorkspaceError
from pipeline.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), "x" * 5000)
except WorkspaceError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    run = subprocess.run([sys.executable, "-c", TOO_LARGE, str(path)], capture_output=True, text=True, check=True)
    assert f"{path}: the disk takes no more (File too large)" in run.stdout
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="No such file"):
        write_atomically(tmp_path / "nowhere" / "a.txt", "x")
