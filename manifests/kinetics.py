"""Kinetics-400: the official CSV files and a folder of cut clips.

Rows: ``label,youtube_id,time_start,time_end,split[,is_cc]``. Files:
``{id}_{start:06d}_{end:06d}.<mp4|mkv|webm|avi>``, flat, in a folder per split, in a folder per class (spaces kept or
as ``_``), or both. Class ids are the sorted class names. Real copies miss some 2.5 % of the clips.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manifests.draft import ManifestDraft, MissingReason, MissingVideo, make_draft
from manifests.errors import ManifestError
from manifests.folder_index import FolderIndex, index_folder
from manifests.names import check_name
from manifests.record import VideoRecord

ANNOTATION_NAMES = ("train.csv", "val.csv", "validate.csv", "test.csv")
_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_SPLIT_NAMES = {"validate": "val", "validation": "val"}


@dataclass(frozen=True, slots=True)
class _Row:
    clip_id: str
    label: str
    split: str


def read_kinetics(annotation_paths: Sequence[Path], videos_dir: Path) -> ManifestDraft:
    """Match the official rows with the clips of a folder.

    The video_id is the clip's stem, ``{id}_{start:06d}_{end:06d}``. Rows without a label (a test list) are counted as
    "no_label"; a clip listed twice keeps its first row, the second is counted as "duplicate".

    Raises:
        ManifestError: a CSV file or the folder is missing, columns or values are wrong, or no row has a label.
    """
    if not annotation_paths:
        raise ManifestError(
            f"kinetics400: no annotation file given and none of {', '.join(ANNOTATION_NAMES)} in {videos_dir}; "
            "give the official CSV files with --annotations"
        )
    rows = [row for path in annotation_paths for row in _read_rows(path)]
    class_names = sorted({row.label for row in rows if row.label})
    if not class_names:
        names = ", ".join(str(path) for path in annotation_paths)
        raise ManifestError(f"kinetics400: no row of {names} has a label; add the train or val CSV with --annotations")
    label_of_class = {name: label for label, name in enumerate(class_names)}
    index = index_folder(videos_dir)
    candidates: list[VideoRecord] = []
    missing: list[MissingVideo] = []
    seen: set[str] = set()
    for row in rows:
        path = _find_clip(index, row)
        expected_path = path or index.root / row.split / f"{row.clip_id}.mp4"
        reason = None
        if not row.label:
            reason = MissingReason.NO_LABEL
        elif row.clip_id in seen:
            reason = MissingReason.DUPLICATE
        elif path is None:
            reason = MissingReason.MISSING
        if reason is None:
            candidates.append(VideoRecord(row.clip_id, expected_path, row.split, label_of_class[row.label], row.label))
        else:
            missing.append(MissingVideo(row.clip_id, expected_path, reason, row.split, row.label))
        if row.label:
            seen.add(row.clip_id)
    return make_draft(candidates, missing)


def _find_clip(index: FolderIndex, row: _Row) -> Path | None:
    return index.find(row.clip_id, (row.split, row.label, row.label.replace(" ", "_")))


def _read_rows(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as csv_file:
            reader = csv.DictReader(csv_file)
            columns = reader.fieldnames or []
            _require_columns(path, columns)
            for row in reader:
                yield _parse_row(path, reader.line_num, row)
    except FileNotFoundError:
        raise ManifestError(
            f"annotation file {path} does not exist; give the official CSV with --annotations"
        ) from None
    except UnicodeDecodeError as error:
        raise ManifestError(f"annotation file {path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise ManifestError(f"annotation file {path}: not a CSV file: {error}") from None
    except OSError as error:
        raise ManifestError(f"annotation file {path}: cannot be read: {error.strerror or error}") from None


def _parse_row(path: Path, line: int, row: dict[str, str | None]) -> _Row:
    try:
        start_sec, end_sec = int(float(row["time_start"] or "")), int(float(row["time_end"] or ""))
    except ValueError:
        raise ManifestError(
            f"{path}, line {line}: time_start,time_end = {row['time_start']},{row['time_end']}, expected seconds"
        ) from None
    youtube_id, split = row["youtube_id"] or "", row["split"] or ""
    if not youtube_id or not split:
        raise ManifestError(f"{path}, line {line}: empty youtube_id or split; expected {','.join(_COLUMNS)}")
    try:
        check_name("split", split)
    except ValueError as error:
        raise ManifestError(f"{path}, line {line}: {error}") from None
    return _Row(f"{youtube_id}_{start_sec:06d}_{end_sec:06d}", row.get("label") or "", _SPLIT_NAMES.get(split, split))


def _require_columns(path: Path, columns: Sequence[str]) -> None:
    """Accept the official columns; without ``label`` only where the rest is exactly that of the official test list."""
    absent = [column for column in _COLUMNS if column not in columns]
    is_test_list = absent == ["label"] and set(columns) <= {*_COLUMNS, "is_cc"}
    if absent and not is_test_list:
        raise ManifestError(
            f"{path}: columns {','.join(_COLUMNS)} expected, found {','.join(columns) or 'nothing'}; "
            "give the official Kinetics CSV with --annotations"
        )
