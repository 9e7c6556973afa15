"""The same operations on a local folder and in stores: what was written is there whole, and nothing else is."""

import hashlib
import multiprocessing
from collections import Counter
from pathlib import Path

import pytest
import s3fs

from pipeline.errors import WorkspaceError
from pipeline.local_copies import local_copy, local_edit, part_path_of, writing
from pipeline.store import (
    create_exclusively,
    find_files,
    is_local,
    locate,
    make_dir,
    publish,
    read_files,
    read_present_files,
    remove,
    rename,
    sha256_of_file,
    write_atomically,
)

PLACES = ["local", "file", "memory", "s3"]


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param in ("memory", "s3"):
        return locate(request.getfixturevalue(request.param)) / "folder"
    return locate(str(tmp_path / "folder") if request.param == "local" else f"file://{tmp_path}/folder")


@pytest.mark.parametrize("folder", PLACES, indirect=True)
def test_files_come_back_and_are_listed(folder: Path) -> None:
    assert find_files(folder, "*") == []
    make_dir(folder)
    contents = {f"{number:03}.json": f"content {number}, é".encode() for number in range(30)}
    for name, content in contents.items():
        write_atomically(folder / name, content)
    write_atomically(folder / "000.json", contents["000.json"].decode())
    write_atomically(folder / "other.csv", "x")
    found = find_files(folder, "*.json")
    assert [path.name for path in found] == sorted(contents)
    assert list(read_files(found)) == [contents[path.name] for path in found]
    assert list(read_files(found[:1])) == [contents["000.json"]]
    assert sha256_of_file(found[3]) == hashlib.sha256(contents["003.json"]).hexdigest()
    assert rename(found[3], folder / "moved").name == "moved"
    remove(found[4])
    remove(found[4])
    assert not found[3].exists() and not found[4].exists() and (folder / "moved").exists()
    with pytest.raises(FileNotFoundError):
        list(read_files([folder / "absent"]))
    present = list(read_present_files([found[0], folder / "absent", found[-1]]))
    assert present == [(path, contents[path.name]) for path in (found[0], found[-1])]


@pytest.mark.parametrize("folder", PLACES, indirect=True)
def test_a_published_file_is_whole_and_its_part_gone(folder: Path, tmp_path: Path) -> None:
    make_dir(folder)
    content = bytes(range(256)) * 50_000
    part_path = part_path_of(folder / "a.h5")
    part_path.write_bytes(content)
    publish(part_path, folder / "a.h5", hashlib.sha256(content).hexdigest())
    with writing(folder / "b.bin") as path:
        path.write_bytes(content[:5])
    with pytest.raises(KeyError), writing(folder / "c.bin") as path:
        raise KeyError
    with local_copy(folder / "a.h5") as copy:
        assert copy.name == "a.h5" and copy.read_bytes() == content
    with local_copy(folder / "absent") as copy:
        assert not copy.exists()
    assert copy.exists() is False and not list(tmp_path.rglob("*.part"))
    assert [path.name for path in find_files(folder, "*")] == ["a.h5", "b.bin"]


@pytest.mark.parametrize("folder", ["local", "s3"], indirect=True)
def test_a_folder_is_edited_on_a_local_disk(folder: Path) -> None:
    make_dir(folder)
    write_atomically(folder / "old.csv", "old")
    with local_edit(folder, ["new.csv", "old.csv"]) as local:
        (local / "new.csv").write_text("new")
        (local / "old.csv").unlink(missing_ok=True)
    assert [path.name for path in find_files(folder, "*.csv")] == ["new.csv"]


@pytest.mark.parametrize("folder", ["memory", "s3"], indirect=True)
def test_a_file_is_created_once(folder: Path) -> None:
    assert create_exclusively(folder / "lease", "mine")
    assert not create_exclusively(folder / "lease", "yours")
    assert list(read_files([folder / "lease"])) == [b"mine"]


def test_many_small_files_are_found_by_one_listing(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = locate(s3) / "folder"
    for number in range(20):
        write_atomically(folder / f"{number}.json", "x")
    asked: Counter[str] = Counter()
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: s3fs.S3FileSystem, method: str, *args: object, **kwargs: object) -> object:
        asked[method] += 1
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    assert len(list(read_files(find_files(folder, "*.json")))) == 20
    assert (asked["list_objects_v2"], asked["get_object"]) == (1, 20)


def _list(folder: Path) -> list[str]:
    return [path.name for path in find_files(folder, "*")]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_is_read_in_other_processes(s3: str, method: str) -> None:
    folder = locate(s3) / "folder"
    write_atomically(folder / "a", "x")
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(_list, (folder,)) == ["a"]


def test_where_a_store_cannot_be_reached_one_line_says_so(monkeypatch: pytest.MonkeyPatch, s3: str) -> None:
    assert not is_local(locate(s3))
    with pytest.raises(WorkspaceError, match="nonsense://x: Protocol not known"):
        locate("nonsense://x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(WorkspaceError, match=r"cannot be reached .*credentials and network") as caught:
        locate("s3://elsewhere/x")
    assert "\n" not in str(caught.value)
    s3fs.S3FileSystem.clear_instance_cache()
