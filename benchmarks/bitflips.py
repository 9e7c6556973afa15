"""Flip random bits in shards and receipts: `verify` must find all, `verify --repair` must give the same shards again.

Labels a folder of videos with light teachers, then goes round by round: one bit in each of some shards, or in its
receipt, is flipped, `verify` must name those shards and no other, and after `verify --repair` every shard must have its
old content, and every receipt what it said of it.

Run: ``python benchmarks/bitflips.py --videos DIR [--flips 1000] [--seed 0]``, where DIR is a tree <class>/<video>.
Exit code 1 where a flip is missed, a whole shard is blamed, or a repaired shard differs.
"""

import argparse
import contextlib
import io
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pipeline.cli import cli
from pipeline.errors import ShardError

DATASET = "flipped"


def run_command(workspace: Path, *arguments: str) -> dict[str, Any]:
    """Run a command in this process and return its JSON object; what it finds wrong stands in there."""
    printed = io.StringIO()
    options = ["--workspace", str(workspace), "--json"]
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(ShardError),
    ):
        cli.main(args=[*arguments, *options], prog_name="kinet-pipeline", standalone_mode=False)
    result: dict[str, Any] = json.loads(printed.getvalue())
    return result


def said_by(receipts: list[Path]) -> dict[str, Any]:
    """Return what receipts say, but for the times and names of their attempts."""
    changing = ("attempt", "digest", "seconds", "stage_seconds")
    return {
        path.name: {key: value for key, value in json.loads(path.read_text()).items() if key not in changing}
        for path in receipts
    }


def flip_bit(path: Path, generator: random.Random) -> None:
    """Flip one bit of a file, each as likely as any other."""
    content = bytearray(path.read_bytes())
    content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    path.write_bytes(content)


def run_rounds(workspace: Path, num_flips: int, seed: int) -> int:
    """Flip, verify and repair until `num_flips` are done; return how many were found. Exits at the first failure."""
    labelling = ["--dataset", DATASET, "--workers", "0", "--progress", "none"]
    labelling += ["--human-teacher", "light_teachers:load_human", "--scene-teacher", "light_teachers:load_scene"]
    run_command(workspace, "label", *labelling, "--videos-per-shard", "1")
    shards_dir = workspace / "shards" / DATASET
    sound = {path: path.read_bytes() for path in sorted(shards_dir.glob("*.h5"))}
    receipts = [path.with_suffix(".json") for path in sound]
    said = said_by(receipts)
    generator = random.Random(seed)
    found = 0
    while found < num_flips:
        chosen = generator.sample(sorted(sound), min(len(sound), num_flips - found))
        for path in chosen:
            flip_bit(generator.choice([path, path.with_suffix(".json")]), generator)
        report = run_command(workspace, "verify", *labelling, "--jobs", "1")
        named = {entry["shard"] for entry in report["bad"]}
        expected = {path.stem for path in chosen}
        if named != expected:
            sys.exit(f"missed {sorted(expected - named)}, blamed {sorted(named - expected)}")
        if not run_command(workspace, "verify", *labelling, "--repair", "--jobs", "1")["ok"]:
            sys.exit("verify --repair left a bad shard")
        if {path: path.read_bytes() for path in sorted(shards_dir.glob("*.h5"))} != sound:
            sys.exit("a repaired shard differs from the one before")
        if said_by(receipts) != said:
            sys.exit("a repaired shard's receipt says something else than the one before")
        found += len(chosen)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Print how many flips were found and repaired."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", required=True, help="folder <class>/<video>")
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-per-class", type=int, default=2, help="videos of each class, one shard each")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        for kind in ("human", "scene"):
            (workspace / "teachers").mkdir(exist_ok=True)
            (workspace / "teachers" / f"{kind}.safetensors").write_text(kind)
        build = ["manifest", "build", "folder", "--videos", options.videos, "--name", DATASET]
        run_command(workspace, *build, "--limit-per-class", str(options.limit_per_class))
        found = run_rounds(workspace, options.flips, options.seed)
    print(
        f"{found} flipped bits in shards and receipts, all found by verify, all repaired to the same bytes, "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    main()
