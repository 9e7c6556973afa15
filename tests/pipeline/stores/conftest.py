"""Stores to label into: fsspec's own in memory, and a server that speaks S3."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

BUCKET = "kinet-tests"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep copies of the store's files apart from the user's own."""
    monkeypatch.setenv("KINET_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def memory() -> Iterator[str]:
    """Return the URL of a workspace in this process's memory."""
    yield "memory://kinet/workspace"
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Start a server that speaks S3, and return its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the URL of a workspace in an empty bucket; this process and its children find server and credentials."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": s3_server,
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    filesystem = s3fs.S3FileSystem(use_listings_cache=False)
    filesystem.mkdir(BUCKET)
    yield f"s3://{BUCKET}/workspace"
    filesystem.rm(BUCKET, recursive=True)
