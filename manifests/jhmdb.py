"""J-HMDB: ``classes.txt``, ``splits/{train,test}{1,2,3}.txt`` with lines ``class/clip.mp4 class_id``, and the clips."""

from pathlib import Path

from manifests.draft import ManifestDraft
from manifests.errors import ManifestError
from manifests.folder_index import index_folder
from manifests.folds import join_folds, shorten_ids
from manifests.locate import locate_clips
from manifests.record import VideoRecord
from manifests.textlines import read_lines

_MAX_FOLDS = 3


def read_jhmdb(annotations_dir: Path, videos_dir: Path) -> ManifestDraft:
    """Match the three folds' lists with the clips of a folder.

    The video_id is the clip's stem (all 928 official stems differ); where a list repeats a stem in two classes, those
    clips have ``class/stem``. It depends on the lists alone, so a missing file changes no id.

    Raises:
        ManifestError: a list or the folder is missing or malformed.
    """
    class_names = [text for _, text in read_lines(annotations_dir / "classes.txt")]
    splits_dir = annotations_dir / "splits"
    num_folds = 1
    while num_folds < _MAX_FOLDS and (splits_dir / f"train{num_folds + 1}.txt").exists():
        num_folds += 1
    folds = [
        _read_list(splits_dir / f"train{fold}.txt", "train", class_names)
        + _read_list(splits_dir / f"test{fold}.txt", "test", class_names)
        for fold in range(1, num_folds + 1)
    ]
    return locate_clips(shorten_ids(join_folds(folds)), index_folder(videos_dir))


def _read_list(path: Path, split: str, class_names: list[str]) -> list[VideoRecord]:
    records = []
    for line, text in read_lines(path):
        relative, _, label = text.rpartition(" ")
        class_name = relative.rpartition("/")[0]
        if not label.isdecimal() or int(label) >= len(class_names) or class_names[int(label)] != class_name:
            raise ManifestError(
                f"{path}, line {line}: `class/clip.mp4 class_id` with a class of classes.txt and its place expected, "
                f"found {text!r}"
            )
        clip = Path(relative)
        records.append(VideoRecord(f"{class_name}/{clip.stem}", clip, split, int(label), class_name))
    return records
