"""Tables drawn from scores, as CSV that a spreadsheet opens: the scores themselves, each class, who is taken for whom.

Shape suffixes: V videos, K classes.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.files import write_atomically
from student.scores import Scores


def count_confusions(scores: Scores) -> NDArray[np.int64]:
    """Count videos by true class (rows) and best-scored class (columns): int64 [K, K]."""
    num_classes = scores.logits.shape[1]
    counts_KK = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts_KK, (scores.labels, scores.logits.argmax(axis=1)), 1)
    return counts_KK


def write_score_tables(scores: Scores, class_names: Sequence[str], path: Path) -> dict[str, str]:
    """Write three tables beside `path` (the npz file of the same scores).

    `NAME.csv`: video_id, label, and a column `logit_0`, `logit_1`, ... for each class, to float32's full precision.
    `NAME-classes.csv`: class, name, videos, right, accuracy, and the class most often taken for it.
    `NAME-confusion.csv`: videos by true class (rows) and best-scored class (columns).

    Returns:
        The paths, by `scores_csv`, `classes_csv`, `confusion_csv`.
    """
    counts_KK = count_confusions(scores)
    names = [*class_names, *[""] * (len(counts_KK) - len(class_names))]
    header = ["video_id", "label", *(f"logit_{label}" for label in range(scores.logits.shape[1]))]
    rows = (
        [video_id, label, *(f"{logit:.9g}" for logit in logits)]
        for video_id, label, logits in zip(
            scores.video_ids, scores.labels.tolist(), scores.logits.tolist(), strict=True
        )
    )
    tables = {
        "scores_csv": (path.with_suffix(".csv"), [header, *rows]),
        "classes_csv": (path.with_name(f"{path.stem}-classes.csv"), _class_rows(counts_KK, names)),
        "confusion_csv": (
            path.with_name(f"{path.stem}-confusion.csv"),
            [["true", *names], *([name, *row] for name, row in zip(names, counts_KK.tolist(), strict=True))],
        ),
    }
    for table_path, table in tables.values():
        _write_csv(table_path, table)
    return {key: str(table_path) for key, (table_path, _) in tables.items()}


def _class_rows(counts_KK: NDArray[np.int64], names: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = [["class", "name", "videos", "right", "accuracy", "most_confused_with"]]
    for label, (name, row) in enumerate(zip(names, counts_KK, strict=True)):
        wrong = row.copy()
        wrong[label] = 0
        accuracy = f"{row[label] / row.sum():.4f}" if row.sum() else ""
        confused = names[int(wrong.argmax())] if wrong.any() else ""
        rows.append([label, name, int(row.sum()), int(row[label]), accuracy, confused])
    return rows


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(path, text.getvalue())
