"""UCF-101: ``classInd.txt``, ``trainlist0N.txt``, ``testlist0N.txt`` (three official folds) and a folder of clips."""

from collections.abc import Sequence
from pathlib import Path

from manifests.draft import ManifestDraft
from manifests.errors import ManifestError
from manifests.folder_index import index_folder
from manifests.folds import join_folds
from manifests.locate import locate_clips
from manifests.record import VideoRecord
from manifests.textlines import read_lines

ANNOTATIONS_DIR_NAMES = ("ucfTrainTestlist", "annotations", ".")
_MAX_FOLDS = 3


def read_ucf101(annotations_dir: Path, videos_dir: Path) -> ManifestDraft:
    """Match the official lists with the clips of a folder (``<Class>/v_x.avi`` or flat; other containers do too).

    Raises:
        ManifestError: a list or the folder is missing or malformed.
    """
    return locate_clips(list_ucf101(annotations_dir), index_folder(videos_dir))


def list_ucf101(annotations_dir: Path) -> list[VideoRecord]:
    """Read the official lists; paths are as listed, ``Class/v_x.avi``.

    The video_id is the clip's stem. Labels are 0-based, in the order of ``classInd.txt``. Folds 2 and 3 stand in
    `VideoRecord.fold_splits`; a copy of the annotations that has only the first fold gives none.

    Raises:
        ManifestError: a list is missing or malformed.
    """
    class_names = _read_classes(annotations_dir / "classInd.txt")
    num_folds = 1
    while num_folds < _MAX_FOLDS and (annotations_dir / f"trainlist0{num_folds + 1}.txt").exists():
        num_folds += 1
    folds = [
        _read_list(annotations_dir / f"trainlist0{fold}.txt", "train", class_names)
        + _read_list(annotations_dir / f"testlist0{fold}.txt", "test", class_names)
        for fold in range(1, num_folds + 1)
    ]
    return join_folds(folds)


def _read_classes(path: Path) -> list[str]:
    names: list[str] = []
    for line, text in read_lines(path):
        number, _, name = text.partition(" ")
        if number != str(len(names) + 1) or not name:
            raise ManifestError(f"{path}, line {line}: `{len(names) + 1} ClassName` expected, found {text!r}")
        names.append(name.strip())
    if not names:
        raise ManifestError(f"{path}: no class in it; expected lines such as `1 ApplyEyeMakeup`")
    return names


def _read_list(path: Path, split: str, class_names: Sequence[str]) -> list[VideoRecord]:
    label_of_class = {name: label for label, name in enumerate(class_names)}
    records = []
    for line, text in read_lines(path):
        relative = text.split(" ")[0]
        class_name, _, file_name = relative.rpartition("/")
        if class_name not in label_of_class:
            raise ManifestError(
                f"{path}, line {line}: `Class/v_x.avi` with a class of classInd.txt expected, found {text!r}"
            )
        stem = file_name.rpartition(".")[0]
        records.append(VideoRecord(stem, Path(relative), split, label_of_class[class_name], class_name))
    return records
