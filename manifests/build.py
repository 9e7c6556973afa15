"""A manifest's draft for any data set of the catalogue."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from manifests import hmdb51, kinetics, ucf101
from manifests.catalogue import VIDEO_DATASETS, require_video_dataset
from manifests.draft import ManifestDraft
from manifests.errors import ManifestError
from manifests.filters import keep_classes, limit_per_class
from manifests.folder import read_folder, read_video_lists
from manifests.jhmdb import read_jhmdb


def draft_manifest(
    dataset: str, videos_dir: Path, annotation_paths: Sequence[Path] = (), one_class: str | None = None
) -> ManifestDraft:
    """Read a data set's annotations and match them with its videos.

    Args:
        dataset: kinetics400, ucf101, hmdb51, jhmdb or folder ("synthetic" is made by
            `manifests.synthetic.write_synthetic`).
        videos_dir: the folder of the videos.
        annotation_paths: kinetics400: CSV files or a folder of them; ucf101, hmdb51, jhmdb: the folder of the lists;
            folder: lists of `path label`, or none for a tree of class folders. Where none is given, they are looked for
            in and beside `videos_dir`.
        one_class: folder without lists: the class of all videos, wherever they lie.

    Raises:
        UnknownDatasetError: not a data set of videos.
        ManifestError: folder or annotations are missing or malformed.
        ValueError: one class for a data set that has its own.
    """
    require_video_dataset(dataset)
    if one_class is not None and (dataset != "folder" or annotation_paths):
        raise ValueError("one class is for the videos of data set folder, without annotations")
    if dataset == "kinetics400":
        return kinetics.read_kinetics(_kinetics_files(videos_dir, annotation_paths), videos_dir)
    if dataset == "ucf101":
        names = ucf101.ANNOTATIONS_DIR_NAMES
        return ucf101.read_ucf101(_lists_dir(dataset, "classInd.txt", names, videos_dir, annotation_paths), videos_dir)
    if dataset == "hmdb51":
        places = hmdb51.ANNOTATIONS_DIR_NAMES
        lists_dir = _lists_dir(dataset, hmdb51.LIST_PATTERN, places, videos_dir, annotation_paths)
        return hmdb51.read_hmdb51(lists_dir, videos_dir)
    if dataset == "jhmdb":
        return read_jhmdb(_lists_dir(dataset, "classes.txt", (".",), videos_dir, annotation_paths), videos_dir)
    if dataset == "folder":
        return (
            read_video_lists(annotation_paths, videos_dir) if annotation_paths else read_folder(videos_dir, one_class)
        )
    raise ValueError(f"data set {dataset}: not read from annotations; read are {', '.join(VIDEO_DATASETS)}")


def select(
    draft: ManifestDraft, *, classes: Sequence[str] | None = None, per_class: int | None = None
) -> ManifestDraft:
    """Keep some classes (labels become 0..k-1), and the first `per_class` usable videos of each class and split.

    Raises:
        ManifestError: a class that no usable video has.
    """
    records, missing = draft.records, draft.missing
    if classes is not None:
        records = keep_classes(records, classes)
        missing = [video for video in missing if video.class_name in classes]
    if per_class is not None:
        records = limit_per_class(records, per_class)
    return replace(draft, records=records, missing=missing)


def _kinetics_files(videos_dir: Path, annotation_paths: Sequence[Path]) -> list[Path]:
    folders = [videos_dir, videos_dir / "annotations", videos_dir.parent / "annotations"]
    if annotation_paths:
        folders = [path for path in annotation_paths if path.is_dir()]
        files = [path for path in annotation_paths if not path.is_dir()]
    else:
        files = []
    found = [folder / name for folder in folders for name in kinetics.ANNOTATION_NAMES if (folder / name).is_file()]
    if annotation_paths and not files and not found:
        raise ManifestError(
            f"kinetics400: none of {', '.join(kinetics.ANNOTATION_NAMES)} in "
            f"{', '.join(str(folder) for folder in folders)}; name the CSV files with --annotations"
        )
    return files + found


def _lists_dir(
    dataset: str, list_name: str, folder_names: Sequence[str], videos_dir: Path, annotation_paths: Sequence[Path]
) -> Path:
    """Return the folder that holds `list_name`: the one given, else the first of those in and beside the videos.

    `list_name` may be a pattern.
    """
    if annotation_paths:
        # A file of the folder stands for the folder.
        folders = [path if path.is_dir() or not path.exists() else path.parent for path in annotation_paths]
    else:
        folders = [base / name for base in (videos_dir, videos_dir.parent) for name in folder_names]
    for folder in folders:
        if next(folder.glob(list_name), None) is not None:
            return folder
    raise ManifestError(
        f"{dataset}: no {list_name} in {', '.join(str(folder) for folder in folders)}; "
        "give the folder of the official lists with --annotations DIR"
    )
