"""Time reading and writing a manifest of 260,000 rows, the size of Kinetics-400, against plain csv.DictReader.

Run: ``python benchmarks/bench_manifest.py [rows]``. One core; the best of three runs.
"""

import csv
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from manifests import VideoRecord, read_manifest, write_manifest

KINETICS_ROWS = 260_000


def make_records(num_rows: int) -> list[VideoRecord]:
    """Make records as long as those of Kinetics-400, all probed."""
    return [
        VideoRecord(
            f"{row:011d}_{row % 300:06d}_{row % 300 + 10:06d}",
            Path(
                f"/data/kinetics400/train/playing_some_instrument/{row:011d}_{row % 300:06d}_{row % 300 + 10:06d}.mp4"
            ),
            "train" if row % 13 else "val",
            row % 400,
            f"playing some instrument {row % 400}",
            num_frames=300,
            fps=29.97,
            height=256,
            width=340,
        )
        for row in range(num_rows)
    ]


def read_plainly(path: Path) -> list[dict[str, str]]:
    """Read the rows as dictionaries of text, without any check."""
    with path.open(encoding="utf-8", newline="") as csv_file:
        return list(csv.DictReader(csv_file))


def best_seconds(job: Callable[[], object]) -> float:
    """Return the shortest of three runs."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        result = job()
        seconds.append(time.perf_counter() - started)
        del result
    return min(seconds)


def main() -> None:
    """Print the figures."""
    num_rows = int(sys.argv[1]) if len(sys.argv) > 1 else KINETICS_ROWS
    records = make_records(num_rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "kinetics400.csv")
        write_seconds = best_seconds(lambda: write_manifest(path, records))
        if read_manifest(path) != records:
            sys.exit("read_manifest does not give back what write_manifest wrote")
        records.clear()
        read_seconds = best_seconds(lambda: read_manifest(path))
        plain_seconds = best_seconds(lambda: read_plainly(path))
    print(f"rows                {num_rows}")
    print(f"write_manifest      {write_seconds:.2f} s")
    print(f"read_manifest       {read_seconds:.2f} s")
    print(f"csv.DictReader      {plain_seconds:.2f} s")
    print(f"read / DictReader   {read_seconds / plain_seconds:.2f}")


if __name__ == "__main__":
    main()
