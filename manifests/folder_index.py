"""Which video files lie below a folder, found by one walk."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.errors import ManifestError

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".wmv"})


@dataclass(frozen=True)
class FolderIndex:
    """The video files below a folder.

    Attributes:
        root: the folder, absolute.
        paths_by_stem: file name without suffix -> paths relative to `root` with "/", sorted.
    """

    root: Path
    paths_by_stem: dict[str, list[str]]

    def find(self, stem: str, preferred_folders: Sequence[str] = ()) -> Path | None:
        """Return the file with this stem, or None; of several, the one below most of the preferred folders.

        What decides between equals is the order of names, so that the answer does not depend on the file system.
        """
        paths = self.paths_by_stem.get(stem)
        if not paths:
            return None
        if len(paths) > 1:
            wanted = set(preferred_folders)
            paths = sorted(paths, key=lambda path: (-len(wanted.intersection(path.split("/")[:-1])), path))
        return Path(f"{self.root}/{paths[0]}")


def index_folder(videos_dir: Path) -> FolderIndex:
    """Walk the folder once (directory reads alone, no status call per file) and index its video files by stem.

    Raises:
        ManifestError: the folder is missing, not a folder, or holds no video file.
    """
    paths_by_stem = defaultdict(list)
    for path in walk_videos(videos_dir):
        paths_by_stem[path.rpartition("/")[2].rpartition(".")[0]].append(path)
    for paths in paths_by_stem.values():
        paths.sort()
    if not paths_by_stem:
        raise no_videos(videos_dir)
    return FolderIndex(videos_dir.absolute(), dict(paths_by_stem))


def walk_videos(videos_dir: Path) -> Iterator[str]:
    """Yield the video files below a folder as relative paths with "/"; hidden files and folders are left out.

    Links to folders are followed, each real folder once, so that a link to a parent does no harm.

    Raises:
        ManifestError: the folder is missing or not a folder, or a folder below it cannot be read.
    """
    require_folder(videos_dir)
    root = videos_dir.absolute()
    seen = {os.path.realpath(root)}
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            entries = os.scandir(root / prefix)
        except OSError as error:
            raise ManifestError(f"videos folder {root / prefix}: cannot be read: {error.strerror or error}") from None
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    if entry.is_symlink():
                        real = os.path.realpath(entry.path)
                        if real in seen:
                            continue
                        seen.add(real)
                    pending.append(f"{prefix}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:  # noqa: PTH122 - 260,000 names
                    yield prefix + entry.name


def require_folder(videos_dir: Path) -> None:
    """Raise ManifestError where the folder of videos is missing or not a folder."""
    if not videos_dir.exists():
        raise ManifestError(
            f"videos folder {videos_dir} does not exist; give the folder of the videos with --videos DIR"
        )
    if not videos_dir.is_dir():
        raise ManifestError(f"videos folder {videos_dir} is a file; give the folder of the videos with --videos DIR")


def no_videos(videos_dir: Path) -> ManifestError:
    """Make the error for a folder without any video."""
    return ManifestError(
        f"videos folder {videos_dir}: no video file in it or below it (expected {', '.join(sorted(VIDEO_SUFFIXES))}); "
        "check --videos DIR"
    )
