"""The manifest file: the videos of one data set, one CSV row each.

Format: UTF-8, RFC 4180 (comma, double quotes, CRLF accepted), one header line::

    video_id,path,split,label,class_name[,num_frames,fps,height,width][,split_2,split_3,...]

The probed columns stand there when any video was probed, empty in the rows of the others. The fold columns stand
there for data sets with several official folds.
"""

import csv
import difflib
import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from manifests.atomic import publish
from manifests.catalogue import VIDEO_DATASETS
from manifests.errors import ManifestError, UnknownDatasetError
from manifests.record import VideoRecord

REQUIRED_COLUMNS = ("video_id", "path", "split", "label", "class_name")
PROBED_COLUMNS = ("num_frames", "fps", "height", "width")
_NOT_PROBED = (None, None, None, None)


def read_manifest(path: str | os.PathLike[str]) -> list[VideoRecord]:
    """Read a manifest's videos in the file's order; relative paths are taken from the manifest's folder.

    Raises:
        UnknownDatasetError: there is no such file, but one with a similar name.
        ManifestError: the file is missing, not UTF-8, or has wrong columns, a wrong value or a repeated video_id.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as manifest_file, _collection_paused():
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
        ValueError: a repeated or empty video_id, a line break in one, or records with different numbers of folds.
        ManifestError: the file cannot be written.
    """
    path = Path(path)
    _require_writable(records)
    is_probed = any(_probe_values(record) != _NOT_PROBED for record in records)
    num_folds = 1 + (len(records[0].fold_splits) if records else 0)
    header = REQUIRED_COLUMNS + (PROBED_COLUMNS if is_probed else ()) + _fold_columns(num_folds)
    with publish(path) as part_path, part_path.open("w", encoding="utf-8", newline="") as part_file:
        writer = csv.writer(part_file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_rows(records, is_probed))


def _read_rows(path: Path, reader: Iterator[list[str]]) -> list[VideoRecord]:
    header = next(reader, None)
    if header is None:
        raise ManifestError(f"{path}: empty file, expected the header {','.join(REQUIRED_COLUMNS)}; {_rebuild(path)}")
    columns, num_folds = _require_columns(path, header)
    is_probed = PROBED_COLUMNS[0] in columns
    first_fold = len(REQUIRED_COLUMNS) + (len(PROBED_COLUMNS) if is_probed else 0)
    pick = itemgetter(*(header.index(column) for column in columns))
    num_columns = len(header)
    folder = str(path.parent.absolute())
    join = os.path.join
    records: list[VideoRecord] = []
    line_of_id: dict[str, int] = {}
    for row in reader:
        line = reader.line_num  # type: ignore[attr-defined]
        if len(row) != num_columns:
            if not row:
                continue
            raise ManifestError(
                f"{path}, line {line}: {num_columns} values expected, {len(row)} found; {_rebuild(path)}"
            )
        values = pick(row)
        video_id, video_path, split, label, class_name = values[:5]
        if line_of_id.setdefault(video_id, line) != line:
            raise ManifestError(
                f"{path}, line {line}: video_id {video_id!r} stands already on line {line_of_id[video_id]}; "
                "each video needs its own"
            )
        # isdecimal alone would let Arabic-Indic digits pass.
        if not (label.isascii() and label.isdecimal()):
            raise ManifestError(f"{path}, line {line}: label {label!r}, expected a class index such as 0 or 17")
        if not video_id or not video_path:
            raise ManifestError(f"{path}, line {line}: empty video_id or path; {_rebuild(path)}")
        records.append(
            VideoRecord(
                video_id,
                Path(join(folder, video_path)),  # an absolute path stays as it is
                split,
                int(label),
                class_name,
                *(_parse_probe(path, line, values[5:9]) if is_probed else _NOT_PROBED),
                fold_splits=values[first_fold:] if num_folds > 1 else (),
            )
        )
    return records


def _parse_probe(
    path: Path, line: int, texts: tuple[str, ...]
) -> tuple[int | None, float | None, int | None, int | None]:
    num_frames, fps, height, width = texts
    try:
        return (
            int(num_frames) if num_frames else None,
            float(fps) if fps else None,
            int(height) if height else None,
            int(width) if width else None,
        )
    except ValueError:
        raise ManifestError(
            f"{path}, line {line}: num_frames,fps,height,width = {','.join(texts)}, expected numbers or nothing"
        ) from None


def _require_columns(path: Path, header: list[str]) -> tuple[tuple[str, ...], int]:
    """Return the columns in the order that rows are read in, and the number of folds."""
    num_folds = 1
    while f"split_{num_folds + 1}" in header:
        num_folds += 1
    columns: tuple[str, ...] = REQUIRED_COLUMNS
    if any(column in header for column in PROBED_COLUMNS):
        columns += PROBED_COLUMNS
    columns += _fold_columns(num_folds)
    if sorted(columns) != sorted(header):
        raise ManifestError(
            f"{path}: columns {','.join(REQUIRED_COLUMNS)} expected (and, optional, {','.join(PROBED_COLUMNS)} and "
            f"split_2,split_3,...), found {','.join(header)}; {_rebuild(path)}"
        )
    return columns, num_folds


def _require_writable(records: Sequence[VideoRecord]) -> None:
    seen: set[str] = set()
    for record in records:
        if not record.video_id or "\n" in record.video_id or "\r" in record.video_id:
            raise ValueError(f"video_id {record.video_id!r}: expected one line of text")
        if record.video_id in seen:
            raise ValueError(f"video_id {record.video_id!r} twice; each video needs its own")
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


def _fold_columns(num_folds: int) -> tuple[str, ...]:
    return tuple(f"split_{fold}" for fold in range(2, num_folds + 1))


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
def _collection_paused() -> Iterator[None]:
    """Pause the cyclic garbage collector: it would walk hundreds of thousands of new records that hold no cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
