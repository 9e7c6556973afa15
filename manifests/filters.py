"""Parts of a data set: some classes, some videos of each."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from manifests.errors import ManifestError
from manifests.record import VideoRecord


def keep_classes(records: Sequence[VideoRecord], class_names: Sequence[str]) -> list[VideoRecord]:
    """Keep the videos of some classes; labels become 0..k-1 in the data set's own order of classes.

    Raises:
        ManifestError: no video has one of the class names; the message gives the nearest name.
    """
    label_of_class = {record.class_name: record.label for record in records}
    for name in class_names:
        if name not in label_of_class:
            nearest = difflib.get_close_matches(name, label_of_class, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise ManifestError(
                f"class {name!r}: no video has it; {hint}the data set has {len(label_of_class)} classes"
            )
    ordered = sorted(set(class_names), key=label_of_class.__getitem__)
    new_label = {name: label for label, name in enumerate(ordered)}
    return [replace(record, label=new_label[record.class_name]) for record in records if record.class_name in new_label]


def limit_per_class(records: Sequence[VideoRecord], num_videos: int) -> list[VideoRecord]:
    """Keep the first `num_videos` of each class in each split (of the first fold), in the records' order."""
    if num_videos < 1:
        raise ValueError(f"num_videos {num_videos}: expected 1 or more")
    num_kept: Counter[tuple[str, int]] = Counter()
    kept = []
    for record in records:
        num_kept[record.split, record.label] += 1
        if num_kept[record.split, record.label] <= num_videos:
            kept.append(record)
    return kept
