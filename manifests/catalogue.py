"""The data sets that the project knows by name."""

import difflib
from collections.abc import Iterable

from manifests.errors import UnknownDatasetError

VIDEO_DATASETS = {
    "kinetics400": "Kinetics-400: 400 actions, some 260,000 clips of 10 s; official CSV files and a folder of clips",
    "ucf101": "UCF-101: 101 actions, 13,320 clips, three official folds",
    "hmdb51": "HMDB51: 51 actions, 6,766 clips, three official folds",
    "jhmdb": "J-HMDB: 21 actions, 928 clips with outlined people, three official folds",
    "folder": "any <class>/<video> or <split>/<class>/<video> tree, or mmaction2 lists of `path label`",
    "synthetic": "drawn figures in drawn scenes, made by this project from a seed; for demos and tests only",
}

IMAGE_DATASETS = {
    "lip": "Look into Person: 30,462 + 10,000 images with 19 parts of people and clothes; for the human teacher",
    "places365": "Places365-Standard: 1,803,460 + 36,500 images of 365 scenes; for the scene teacher",
}


def require_video_dataset(name: str) -> str:
    """Return `name` when it is a video data set of the catalogue.

    Raises:
        UnknownDatasetError: it is not; the message gives the nearest name.
    """
    if name in IMAGE_DATASETS:
        raise UnknownDatasetError(
            f"data set {name}: images for `kinet-pipeline teacher train`, not videos; video data sets are "
            f"{', '.join(VIDEO_DATASETS)}"
        )
    if name not in VIDEO_DATASETS:
        raise unknown_dataset(name, VIDEO_DATASETS)
    return name


def unknown_dataset(name: str, known_names: Iterable[str]) -> UnknownDatasetError:
    """Make the error for a name that is not among the known ones, with the nearest of them."""
    known = list(known_names)
    nearest = difflib.get_close_matches(name.lower().replace("-", ""), known, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return UnknownDatasetError(f"data set {name!r} is unknown; {hint}known: {', '.join(known)}")
