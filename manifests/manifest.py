"""The manifest file: the videos of one data set, one CSV row each.

Format: UTF-8, RFC 4180 (comma, double quotes, CRLF accepted), one header line::

    video_id,path,split,label,class_name[,num_frames,fps,height,width][,split_2,split_3,...]

The probed columns stand there when any video was probed, empty in the rows of the others. The fold columns stand
there for data sets with several official folds.
"""

import csv
import difflib
import gc
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from manifests.atomic import publish
from manifests.catalogue import VIDEO_DATASETS
from manifests.errors import ManifestError, UnknownDatasetError
from manifests.folds import fold_columns
from manifests.names import NAME_RULE, check_name
from manifests.record import VideoRecord

REQUIRED_COLUMNS = ("video_id", "path", "split", "label", "class_name")
PROBED_COLUMNS = ("num_frames", "fps", "height", "width")
T = TypeVar("T")

_NOT_PROBED = (None, None, None, None)


def read_manifest(path: str | os.PathLike[str]) -> list[VideoRecord]:
    """Read a manifest's videos in the file's order; relative paths are taken from the manifest's folder.

    Raises:
        UnknownDatasetError: there is no such file, but one with a similar name.
        ManifestError: the file is missing, not UTF-8, or has wrong columns, a wrong value or a repeated video_id.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as manifest_file, collection_paused():
            return _read_rows(path, csv.reader(manifest_file, strict=True))
    except FileNotFoundError:
        raise _missing_manifest(path) from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise ManifestError(
            f"{path}: not a CSV file by RFC 4180: {error}; make it again with {_way_out(path)}"
        ) from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror or error}") from None


def write_manifest(path: str | os.PathLike[str], records: Sequence[VideoRecord]) -> None:
    """Write a manifest whole or not at all.

    Raises:
        ValueError: a repeated or empty video_id, a line break in one, a split that is no name, or records with
            different numbers of folds.
        ManifestError: the file cannot be written.
    """
    path = Path(path)
    _require_writable(records)
    is_probed = any(_probe_values(record) != _NOT_PROBED for record in records)
    num_folds = 1 + (len(records[0].fold_splits) if records else 0)
    header = REQUIRED_COLUMNS + (PROBED_COLUMNS if is_probed else ()) + fold_columns(num_folds)
    with publish(path) as part_path, part_path.open("w", encoding="utf-8", newline="") as part_file:
        writer = csv.writer(part_file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_rows(records, is_probed))


def _read_rows(path: Path, reader: Iterator[list[str]]) -> list[VideoRecord]:
    """Read column by column: few distinct labels and sizes are parsed once each, which makes 260,000 rows quick.

    Which line a fault stands on is found afterwards, by `_line_of_row`.
    """
    header = next(reader, None)
    if header is None:
        raise ManifestError(f"{path}: empty file, expected the header {','.join(REQUIRED_COLUMNS)}; {_rebuild(path)}")
    num_folds = _require_columns(path, header)
    rows = [row for row in reader if row]
    if not rows:
        return []
    if any(len(row) != len(header) for row in rows):
        number, row = next((number, row) for number, row in enumerate(rows) if len(row) != len(header))
        raise ManifestError(
            f"{path}, line {_line_of_row(path, number)}: {len(header)} values expected, {len(row)} found; "
            f"{_rebuild(path)}"
        )
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    del rows
    video_ids = columns["video_id"]
    _require_unique(path, video_ids)
    for name in ("video_id", "path"):
        if "" in columns[name]:
            line = _line_of_row(path, columns[name].index(""))
            raise ManifestError(f"{path}, line {line}: empty {name}; {_rebuild(path)}")
    later_folds = [_parse_column(path, name, columns[name], _parse_split) for name in fold_columns(num_folds)]
    return list(
        map(
            VideoRecord,
            video_ids,
            _make_paths(path.parent.absolute(), columns["path"]),
            _parse_column(path, "split", columns["split"], _parse_split),
            _parse_column(path, "label", columns["label"], _parse_index),
            columns["class_name"],
            *(
                _parse_column(path, name, columns[name], parse) if name in columns else itertools.repeat(None)
                for name, parse in _PARSERS_OF_PROBED
            ),
            zip(*later_folds, strict=True) if later_folds else itertools.repeat(()),
        )
    )


def _make_paths(manifest_dir: Path, texts: Sequence[str]) -> list[Path]:
    """Make the paths, those of one folder from the folder's: splitting whole paths would be the slowest step of all."""
    parents: dict[str, Path] = {}
    paths = []
    for text in texts:
        folder, slash, name = text.rpartition("/")
        parent = parents.get(folder)
        # "a.mp4" and "/a.mp4" both have the empty folder.
        if parent is None or not folder:
            parent = parents[folder] = manifest_dir / (folder + slash)
        paths.append(parent / name)
    return paths


def _parse_column(path: Path, name: str, texts: Sequence[str], parse: Callable[[str], T]) -> Iterator[T]:
    values = {}
    for text in set(texts):
        try:
            values[text] = parse(text)
        except ValueError as error:
            line = _line_of_row(path, texts.index(text))
            raise ManifestError(f"{path}, line {line}: {name} {text!r}, expected {error}; {_rebuild(path)}") from None
    return map(values.__getitem__, texts)


def _parse_split(text: str) -> str:
    # Empty where a video is in no split of a fold.
    try:
        return check_name("split", text) if text else text
    except ValueError:
        raise ValueError(NAME_RULE) from None


def _parse_index(text: str) -> int:
    # Not int alone: it takes "1_0", " 1" and digits of other scripts.
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("a class index such as 0 or 17")
    return int(text)


def _parse_count(text: str) -> int | None:
    if text and not (text.isascii() and text.isdecimal()):
        raise ValueError("a whole number or nothing")
    return int(text) if text else None


def _parse_rate(text: str) -> float | None:
    try:
        rate = float(text) if text else None
    except ValueError:
        rate = math.nan
    if rate is not None and not 0 < rate < math.inf:
        raise ValueError("frames per second or nothing")
    return rate


_PARSERS_OF_PROBED = tuple(zip(PROBED_COLUMNS, (_parse_count, _parse_rate, _parse_count, _parse_count), strict=True))


def _require_unique(path: Path, video_ids: Sequence[str]) -> None:
    if len(set(video_ids)) == len(video_ids):
        return
    row_of_id: dict[str, int] = {}
    for number, video_id in enumerate(video_ids):
        first = row_of_id.setdefault(video_id, number)
        if first != number:
            raise ManifestError(
                f"{path}, line {_line_of_row(path, number)}: video_id {video_id!r} stands already on line "
                f"{_line_of_row(path, first)}; each video needs its own"
            )


def _line_of_row(path: Path, number: int) -> int:
    """Return the line on which a row (from 0, without the header) ends; a quoted value may span several lines."""
    with path.open(encoding="utf-8-sig", newline="") as manifest_file:
        reader = csv.reader(manifest_file, strict=True)
        next(reader)
        next(itertools.islice((row for row in reader if row), number, None))
        return reader.line_num


def _require_columns(path: Path, header: list[str]) -> int:
    """Check the names of the columns, in any order; return the number of folds."""
    num_folds = 1
    while f"split_{num_folds + 1}" in header:
        num_folds += 1
    columns: tuple[str, ...] = REQUIRED_COLUMNS
    if any(column in header for column in PROBED_COLUMNS):
        columns += PROBED_COLUMNS
    columns += fold_columns(num_folds)
    if sorted(columns) != sorted(header):
        raise ManifestError(
            f"{path}: columns {','.join(REQUIRED_COLUMNS)} expected (and, optional, {','.join(PROBED_COLUMNS)} and "
            f"split_2,split_3,...), found {','.join(header)}; {_rebuild(path)}"
        )
    return num_folds


def _require_writable(records: Sequence[VideoRecord]) -> None:
    seen: set[str] = set()
    checked_splits: set[str] = set()
    for record in records:
        if not record.video_id or "\n" in record.video_id or "\r" in record.video_id:
            raise ValueError(f"video_id {record.video_id!r}: expected one line of text")
        if record.video_id in seen:
            raise ValueError(f"video_id {record.video_id!r} twice; each video needs its own")
        for split in {record.split, *record.fold_splits} - checked_splits:
            checked_splits.add(check_name("split", split) if split else split)
        if len(record.fold_splits) != len(records[0].fold_splits):
            raise ValueError(
                f"video {record.video_id}: {1 + len(record.fold_splits)} folds, the first record has "
                f"{1 + len(records[0].fold_splits)}; all records of a manifest have the same folds"
            )
        seen.add(record.video_id)


def _rows(records: Iterable[VideoRecord], is_probed: bool) -> Iterator[tuple[object, ...]]:
    for record in records:
        probed = _probe_values(record) if is_probed else ()
        base = (record.video_id, os.fspath(record.path), record.split, record.label, record.class_name)
        yield base + probed + record.fold_splits


def _probe_values(record: VideoRecord) -> tuple[object, ...]:
    return record.num_frames, record.fps, record.height, record.width


def _missing_manifest(path: Path) -> ManifestError:
    name = path.stem
    message = f"manifest {path} does not exist; make it with {_way_out(path)}"
    siblings = sorted(sibling.stem for sibling in path.parent.glob("*.csv") if not sibling.stem.endswith(".missing"))
    nearest = difflib.get_close_matches(name, siblings, n=1)
    if name in VIDEO_DATASETS or not nearest:
        return ManifestError(message)
    return UnknownDatasetError(f"{message} (did you mean {nearest[0]}?)")


def _way_out(path: Path) -> str:
    return f"`kinet-pipeline manifest build {path.stem if path.stem in VIDEO_DATASETS else 'NAME'} --videos DIR`"


def _rebuild(path: Path) -> str:
    return f"make it again with {_way_out(path)}"


@contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector: it would walk hundreds of thousands of new records that hold no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
