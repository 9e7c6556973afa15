"""A missing disk is told from a missing file by what was there when the run began."""

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import Reason, SourceError, VideoError
from pipeline.video import VideoFile
from pipeline.video_disk import MAX_WITNESSES, NO_WITNESSES, Witnesses, find_witnesses, read_through, why_unread


def make_files(*paths: Path) -> list[str]:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return [str(path) for path in paths]


def test_every_folder_has_a_witness_and_what_is_not_there_is_none(tmp_path: Path) -> None:
    paths = make_files(*(tmp_path / "many" / f"{i}.mp4" for i in range(2 * MAX_WITNESSES)), tmp_path / "one" / "a.mp4")
    paths.append(str(tmp_path / "one" / "absent.mp4"))
    found = find_witnesses(paths).paths
    assert MAX_WITNESSES - 1 <= len(found) <= MAX_WITNESSES and set(found) <= set(paths[:-1])
    assert str(tmp_path / "one" / "a.mp4") in found


def test_a_missing_file_is_doubted_where_its_own_disk_is_gone(tmp_path: Path) -> None:
    disks = [tmp_path / "disk0", tmp_path / "disk1"]
    witnesses = find_witnesses(make_files(*(disk / "clips" / f"{i}.mp4" for disk in disks for i in range(3))))
    for disk in disks:
        witnesses.require_sight(disk / "clips" / "absent.mp4")
        witnesses.require_sight(disk / "no such class" / "absent.mp4")
    disks[1].rename(tmp_path / "unmounted")
    # What a mount leaves behind.
    disks[1].mkdir()
    witnesses.require_sight(disks[0] / "clips" / "absent.mp4")
    for name in ("clips", "no such class"):
        with pytest.raises(SourceError, match=r"disk1/clips/0\.mp4: was read when the run began, .*No such file"):
            witnesses.require_sight(disks[1] / name / "absent.mp4")


def test_a_link_lies_on_the_disk_of_its_target(tmp_path: Path) -> None:
    make_files(*(tmp_path / f"disk{i}" / f"{i}.mp4" for i in range(2)))
    links = tmp_path / "links"
    links.mkdir()
    for name, target in (("a", "disk0/0.mp4"), ("b", "disk1/1.mp4"), ("c", "disk1/absent.mp4")):
        (links / f"{name}.mp4").symlink_to(tmp_path / target)
    witnesses = find_witnesses([str(links / f"{name}.mp4") for name in "abc"])
    assert len(witnesses.paths) == 2
    witnesses.require_sight(links / "c.mp4")
    (tmp_path / "disk1").rename(tmp_path / "unmounted")
    with pytest.raises(SourceError):
        witnesses.require_sight(links / "c.mp4")


def test_without_witnesses_a_missing_file_is_missing(tmp_path: Path) -> None:
    absent = tmp_path / "absent.mp4"
    with pytest.raises(SourceError):
        Witnesses((str(tmp_path / "gone.mp4"),)).require_sight(absent)
    NO_WITNESSES.require_sight(absent)
    with pytest.raises(VideoError) as caught:
        VideoFile(absent)
    assert caught.value.reason is Reason.MISSING


def test_a_name_that_leads_nowhere_is_the_videos_own_fault(tmp_path: Path) -> None:
    make_files(tmp_path / "file")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    for name, reason in (
        ("absent.mp4", Reason.MISSING),
        ("file/absent.mp4", Reason.MISSING),
        ("loop.mp4", Reason.UNREADABLE),
        ("x" * 300, Reason.UNREADABLE),
    ):
        with pytest.raises(VideoError) as caught:
            VideoFile(tmp_path / name)
        assert caught.value.reason is reason
    with pytest.raises(SourceError, match="No such file"):
        list(read_through(tmp_path / "absent.mp4"))


@pytest.fixture
def dead_mount(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system whose server is gone, as sshfs, s3fs and the like leave it."""
    folder, libc = tmp_path / "dead", ctypes.CDLL(None, use_errno=True)
    folder.mkdir()
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR)
    except OSError:
        pytest.skip("no /dev/fuse")
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    mounted = libc.mount(b"dead", os.fsencode(folder), b"fuse", 0, options)
    os.close(descriptor)
    if mounted != 0:
        pytest.skip("mounting is not permitted")
    yield folder
    libc.umount2(os.fsencode(folder), 2)


def test_a_dead_mount_is_no_missing_file(dead_mount: Path) -> None:
    path = dead_mount / "video.mp4"
    assert why_unread(str(path)) == os.strerror(errno.ENOTCONN)
    with pytest.raises(SourceError, match="Transport endpoint is not connected"):
        VideoFile(path)
    with pytest.raises(SourceError, match="Transport endpoint is not connected"):
        list(read_through(path))
