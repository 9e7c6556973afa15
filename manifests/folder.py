"""Any folder of videos: ``<class>/<video>``, ``<split>/<class>/<video>``, or mmaction2 lists of ``path label``."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from manifests.draft import ManifestDraft, MissingReason, MissingVideo, make_draft
from manifests.errors import ManifestError
from manifests.folder_index import no_videos, require_folder, walk_videos
from manifests.folds import join_folds
from manifests.record import VideoRecord
from manifests.textlines import read_lines

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_FOLD = re.compile(r"(?:split|fold|train|val|test)(?:list)?[-_]?0*([1-9])(?!\d)")


def read_folder(videos_dir: Path, one_class: str | None = None) -> ManifestDraft:
    """List a tree of videos; class ids are the sorted class folders.

    Where every folder at the top is named as a split (train, val, validation, test, ...) the classes are expected one
    level below; else all videos are in the split "train". Deeper folders belong to their class. The video_id is the
    path below `videos_dir` without suffix, with it where two files differ in nothing else. Videos that lie in no
    class folder are counted as "no_label"; with `one_class` all videos are of that class, wherever they lie.

    Raises:
        ManifestError: the folder is missing, or no video lies in a class folder.
    """
    paths = sorted(walk_videos(videos_dir))
    if not paths:
        raise no_videos(videos_dir)
    root = videos_dir.absolute()
    top_folders = {path.partition("/")[0] for path in paths if "/" in path}
    class_level = 1 if top_folders and all(name.lower() in SPLIT_NAMES for name in top_folders) else 0
    video_ids = _make_ids(paths)
    split_and_class = {}
    missing = []
    for path in paths:
        folders = path.split("/")[:-1]
        split = SPLIT_NAMES[folders[0].lower()] if class_level and folders else "train"
        if one_class is not None:
            split_and_class[path] = (split, one_class)
        elif len(folders) <= class_level:
            missing.append(MissingVideo(video_ids[path], root / path, MissingReason.NO_LABEL))
        else:
            split_and_class[path] = (split, folders[class_level])
    class_names = sorted({class_name for _, class_name in split_and_class.values()})
    if not class_names:
        raise ManifestError(
            f"videos folder {videos_dir}: {len(paths)} videos but none in a class folder; expected <class>/<video> or "
            "<split>/<class>/<video>, or a list of `path label` with --annotations; for labels alone --one-class NAME "
            "takes videos wherever they lie"
        )
    label_of_class = {name: label for label, name in enumerate(class_names)}
    candidates = [
        VideoRecord(video_ids[path], root / path, split, label_of_class[class_name], class_name)
        for path, (split, class_name) in split_and_class.items()
    ]
    return make_draft(candidates, missing)


def read_video_lists(list_paths: Sequence[Path], videos_dir: Path) -> ManifestDraft:
    """Read mmaction2 lists, one ``path label`` a line, paths relative to `videos_dir` or absolute.

    The split is the first of train, val, test in the list's file name, else "train". Numbers in the names
    (``train1.txt``, ``testlist02.txt``, ``mine_train_split_3_videos.txt``) make folds, where every list has one and
    there are several. A label's class name is the folder its videos lie in when labels and folders go together one to
    one, else the label itself. A video_id is the listed path without suffix (with it where two differ in nothing else);
    a line that a fold repeats is counted as "duplicate".

    Raises:
        ManifestError: a list or the folder is missing, a line is malformed, no line is there, folds have a gap, or a
            video has another label in another fold.
    """
    require_folder(videos_dir)
    label_of: dict[str, int] = {}
    folds: dict[int, dict[str, str]] = {}
    repeated: list[str] = []
    for list_path, fold in zip(list_paths, _guess_folds(list_paths), strict=True):
        split_of = folds.setdefault(fold, {})
        for line, text in read_lines(list_path):
            path, label = _parse_line(list_path, line, text)
            if path in split_of:
                repeated.append(path)
            elif label_of.setdefault(path, label) != label:
                raise ManifestError(
                    f"{list_path}, line {line}: {path} has label {label}, and {label_of[path]} in another fold's list"
                )
            else:
                split_of[path] = _guess_split(list_path)
    if not label_of:
        raise ManifestError(f"{', '.join(str(path) for path in list_paths)}: no line; expected `path label`")
    root = videos_dir.absolute()
    video_ids = _make_ids(list(label_of))
    class_names = _name_classes(label_of)
    candidates = join_folds(
        [
            [
                VideoRecord(video_ids[path], root / path, split, label_of[path], class_names[label_of[path]])
                for path, split in split_of.items()
            ]
            for _, split_of in sorted(folds.items())
        ]
    )
    return make_draft(
        candidates, [MissingVideo(video_ids[path], root / path, MissingReason.DUPLICATE) for path in repeated]
    )


def _parse_line(list_path: Path, line: int, text: str) -> tuple[str, int]:
    parts = text.rsplit(None, 1)
    if len(parts) != 2 or not parts[1].isdecimal():
        raise ManifestError(f"{list_path}, line {line}: `path label` with a class index expected, found {text!r}")
    return parts[0].removeprefix("./"), int(parts[1])


def _guess_split(list_path: Path) -> str:
    name = list_path.stem.lower()
    found = [(name.index(split), split) for split in ("train", "val", "test") if split in name]
    return min(found)[1] if found else "train"


def _guess_folds(list_paths: Sequence[Path]) -> list[int]:
    """Return each list's fold; all lists are of one fold where one has no number or all have the same."""
    found = [_FOLD.search(path.stem.lower()) for path in list_paths]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(list_paths) or len(set(numbers)) < 2:
        return [1] * len(list_paths)
    if set(numbers) != set(range(1, max(numbers) + 1)):
        raise ManifestError(
            f"{', '.join(path.name for path in list_paths)}: folds {', '.join(map(str, sorted(set(numbers))))} found, "
            "expected 1, 2, ... without a gap"
        )
    return numbers


def _name_classes(label_of_path: dict[str, int]) -> dict[int, str]:
    folders = defaultdict(set)
    for path, label in label_of_path.items():
        folders[label].add(path.split("/")[-2] if "/" in path else "")
    names = {label: next(iter(found)) for label, found in folders.items() if len(found) == 1}
    is_one_to_one = len(names) == len(folders) and len(set(names.values())) == len(names) and "" not in names.values()
    return names if is_one_to_one else {label: str(label) for label in folders}


def _make_ids(paths: Sequence[str]) -> dict[str, str]:
    stems = {path: path.rpartition(".")[0] or path for path in paths}
    times_seen = Counter(stems.values())
    return {path: stem if times_seen[stem] == 1 else path for path, stem in stems.items()}
