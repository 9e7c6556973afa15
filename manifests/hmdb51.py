"""HMDB51: ``<class>_test_split<n>.txt`` (``clip.avi 0|1|2`` a line) for each class and fold, and a folder of clips."""

import re
from collections import defaultdict
from pathlib import Path

from manifests.draft import ManifestDraft
from manifests.errors import ManifestError
from manifests.folder_index import index_folder
from manifests.folds import UNUSED_SPLIT, join_folds, shorten_ids
from manifests.locate import locate_clips
from manifests.record import VideoRecord
from manifests.textlines import read_lines

ANNOTATIONS_DIR_NAMES = (
    "testTrainMulti_7030_splits",
    "test_train_splits/testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
    "annotations",
    ".",
)
LIST_PATTERN = "*_test_split1.txt"
_LIST_NAME = re.compile(r"(?P<class_name>.+)_test_split(?P<fold>[1-9])\.txt")
_SPLITS = {"0": UNUSED_SPLIT, "1": "train", "2": "test"}


def read_hmdb51(annotations_dir: Path, videos_dir: Path) -> ManifestDraft:
    """Match the official lists with the clips of a folder (``<class>/<clip>.avi`` or flat; other containers do too).

    Class ids are the sorted class names, which the lists' file names begin with. The video_id is the clip's stem;
    ``class/stem`` where two classes list the same. A clip marked 0 in a fold has the split "unused" there.

    Raises:
        ManifestError: a list or the folder is missing or malformed, or a class lacks the list of a fold.
    """
    lists = _find_lists(annotations_dir)
    class_names = sorted({class_name for of_fold in lists.values() for class_name in of_fold})
    folds = []
    for fold, of_fold in sorted(lists.items()):
        lacking = [class_name for class_name in class_names if class_name not in of_fold]
        if lacking:
            raise ManifestError(
                f"{annotations_dir}: fold {fold} has no list of {len(lacking)} classes ({', '.join(lacking[:3])}, e.g. "
                f"{lacking[0]}_test_split{fold}.txt); unpack the official lists whole"
            )
        folds.append(
            [
                record
                for label, class_name in enumerate(class_names)
                for record in _read_list(of_fold[class_name], label, class_name)
            ]
        )
    return locate_clips(shorten_ids(join_folds(folds)), index_folder(videos_dir))


def _find_lists(annotations_dir: Path) -> dict[int, dict[str, Path]]:
    """Find the lists by fold and class; the folds are 1, 2, ... without a gap."""
    lists: dict[int, dict[str, Path]] = defaultdict(dict)
    for path in sorted(annotations_dir.iterdir()):
        name = _LIST_NAME.fullmatch(path.name)
        if name:
            lists[int(name["fold"])][name["class_name"]] = path
    if sorted(lists) != list(range(1, len(lists) + 1)):
        raise ManifestError(
            f"{annotations_dir}: expected lists of folds 1, 2, ... (<class>_test_split1.txt), found folds "
            f"{', '.join(map(str, sorted(lists))) or 'none'}"
        )
    return lists


def _read_list(path: Path, label: int, class_name: str) -> list[VideoRecord]:
    records = []
    for line, text in read_lines(path):
        file_name, _, mark = text.rpartition(" ")
        if mark not in _SPLITS or not file_name.strip():
            raise ManifestError(
                f"{path}, line {line}: `clip.avi mark` with mark 1 (train), 2 (test) or 0 (neither) expected, found "
                f"{text!r}"
            )
        clip = Path(class_name) / file_name.strip()
        records.append(VideoRecord(f"{class_name}/{clip.stem}", clip, _SPLITS[mark], label, class_name))
    return records
