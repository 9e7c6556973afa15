"""Kill a labelling job at random, again and again, and compare what it leaves with an unbroken run.

    python benchmarks/chaos.py --videos DIR [--kills 50] [--num-videos 36] [--seed 0]

The job: real clips, with poison among them (cut short, text, an empty file, a FIFO, and a white video that kills any
worker that labels it), on a fake Ray cluster of a head and two nodes. The kills are `chaos_kills.KILLS`. When a job is
complete before all kills are made, another one is begun. Afterwards, for every job: the shards are the unbroken run's,
byte for byte; every planned video stands in exactly one receipt, once, with the unbroken run's outcome and reason;
nothing unfinished is left, and no process. Exit code 1 where any of this does not hold.
"""

# ruff: noqa: E402 - the environment must be set before Ray is imported
import argparse
import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np

BENCHMARKS_DIR = Path(__file__).resolve().parent
REPOSITORY = BENCHMARKS_DIR.parent
os.environ.update(
    # For every process of the cluster: it finds the package and the teachers, and notices a lost node soon.
    PYTHONPATH=os.pathsep.join([str(REPOSITORY), str(BENCHMARKS_DIR)]),
    OMP_NUM_THREADS="1",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="disabled",
    RAY_health_check_initial_delay_ms="1000",
    RAY_health_check_period_ms="1000",
    RAY_health_check_failure_threshold="3",
)
sys.path[:0] = [str(REPOSITORY), str(BENCHMARKS_DIR)]

from chaos_kills import KILLS, Scene, command_line, descendants
from ray.cluster_utils import Cluster
from workload import find_videos

from manifests import VideoRecord, write_manifest
from pipeline.workspace import Workspace

DATASET = "chaos"
VIDEOS_PER_SHARD = 3
# A command that is left in peace and has not come to its first shard, or to its end, by then is a fault of its own.
START_SEC = 180.0
COMMAND_SEC = 600.0
# Commands that a job may need when nobody kills any more.
SPARE_COMMANDS = 10
# Exit codes of a command that was interrupted, or met a full disk, or lost the same shard three times.
EXPECTED_CODES = {0, 1, 143, -9}


@dataclass
class Tally:
    """What happened: results by kind of kill, how the commands ended, and what was wrong."""

    kills: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KILLS})
    commands: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def num_kills(self) -> int:
        """Kills that hit something."""
        return sum(
            count for results in self.kills.values() for result, count in results.items() if "just then" not in result
        )


class Job:
    """One workspace, and the command that labels it."""

    def __init__(self, root: Path, records: list[VideoRecord], pause_sec: float) -> None:
        self.workspace = Workspace(root)
        self.shards_dir = self.workspace.shards_dir(DATASET)
        self.records = records
        for kind in ("human", "scene"):
            path = self.workspace.teacher_path(kind)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(pause_sec))
        manifest = self.workspace.manifest_path(DATASET)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, records)

    def start(self, address: str) -> subprocess.Popen[str]:
        """Start the command."""
        options = ["--dataset", DATASET, "--workspace", str(self.workspace.root), "--address", address]
        options += ["--workers", "2", "--videos-per-shard", str(VIDEOS_PER_SHARD), "--batch-size", "8"]
        options += ["--human-teacher", "chaos_teachers:load_human", "--scene-teacher", "chaos_teachers:load_scene"]
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.cli", "label", *options, "--json", "--progress", "none"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def is_labelling(self, since: float) -> bool:
        """Whether a worker has begun a file since a time of the day."""
        for part in self.shards_dir.glob("*.part"):
            with contextlib.suppress(FileNotFoundError):
                if part.stat().st_mtime >= since:
                    return True
        return False

    def shard_bytes(self) -> dict[str, bytes]:
        """Return every shard's content by name."""
        return {path.name: path.read_bytes() for path in sorted(self.shards_dir.glob("*.h5"))}

    def outcomes(self) -> list[tuple[str, str, str | None]]:
        """Return every receipt's entries: video, outcome, reason."""
        return sorted(
            (entry["video_id"], entry["outcome"], entry["reason"])
            for path in self.shards_dir.glob("*-of-*.json")
            for entry in json.loads(path.read_text())["outcomes"]
        )


def make_videos(videos_dir: Path, num_videos: int, folder: Path, generator: random.Random) -> list[VideoRecord]:
    """Mix real clips with poison."""
    records = find_videos(videos_dir, num_videos)
    folder.mkdir(parents=True)
    poison = [folder / f"{name}.mp4" for name in ("cut", "text", "empty", "fifo", "white")]
    content = records[0].path.read_bytes()
    poison[0].write_bytes(content[: len(content) // 2])
    poison[1].write_text("no video " * 100)
    poison[2].touch()
    os.mkfifo(poison[3])
    write_white(poison[4])
    for path in poison:
        records.insert(generator.randrange(len(records) + 1), VideoRecord(path.stem, path, "train", 0, "any"))
    return records


def write_white(path: Path) -> None:
    """Write a video of white frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 255, np.uint8), format="rgb24")
        for _ in range(30):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def finish_command(driver: subprocess.Popen[str], tally: Tally) -> int:
    """Wait for a command and note how it ended; an exit that nothing explains, or a traceback, is a fault."""
    try:
        _, errors = driver.communicate(timeout=COMMAND_SEC)
    except subprocess.TimeoutExpired:
        driver.kill()
        _, errors = driver.communicate()
        tally.faults.append(f"a command did not end in {COMMAND_SEC:.0f} s")
    lines = errors.strip().splitlines()
    tally.commands[f"exit {driver.returncode}"] += 1
    if driver.returncode not in EXPECTED_CODES or "Traceback" in errors:
        tally.faults.append(f"exit {driver.returncode}: {' / '.join(lines[-4:])[-600:]}")
    elif driver.returncode == 1:
        print(f"    the command says: {lines[-1][-220:] if lines else ''}", flush=True)
    return driver.returncode


def harass(job: Job, cluster: Cluster, generator: random.Random, num_kills: int, tally: Tally) -> None:
    """Run a job to its end, killing as long as there are kills left."""
    for _ in range(num_kills + SPARE_COMMANDS):
        driver = job.start(cluster.address)
        started, since = time.monotonic(), time.time()
        while driver.poll() is None and tally.num_kills < num_kills and time.monotonic() - started < START_SEC:
            if not job.is_labelling(since):
                time.sleep(0.05)
                continue
            time.sleep(generator.uniform(0.0, 2.5))
            if driver.poll() is None:
                kind = generator.choice(list(KILLS))
                result = KILLS[kind](Scene(cluster, driver, generator))
                tally.kills[kind][result] += 1
                print(f"  {tally.num_kills:3d}  {kind}: {result}", flush=True)
        if finish_command(driver, tally) == 0:
            return
    tally.faults.append(f"a job was not complete after {num_kills + SPARE_COMMANDS} commands")


def compare(job: Job, expected: Job, tally: Tally) -> None:
    """Note every difference between a harassed job and the unbroken one."""
    found, wanted = job.shard_bytes(), expected.shard_bytes()
    differing = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    if differing:
        tally.faults.append(f"{len(differing)} of {len(wanted)} shards differ: {', '.join(differing[:5])}")
    counts = Counter(video_id for video_id, _, _ in job.outcomes())
    planned = {record.video_id for record in job.records}
    for name, videos in (
        ("lost", planned - counts.keys()),
        ("not planned", counts.keys() - planned),
        ("twice", {video_id for video_id, count in counts.items() if count > 1}),
    ):
        if videos:
            tally.faults.append(f"{len(videos)} videos {name}: {', '.join(sorted(videos)[:5])}")
    changed = sorted(set(job.outcomes()) ^ set(expected.outcomes()))
    if changed:
        tally.faults.append(f"other outcomes: {changed[:6]}")
    left = [path.name for pattern in ("*.part", "*.journal", "*.next") for path in job.shards_dir.glob(pattern)]
    if left:
        tally.faults.append(f"left behind: {', '.join(left[:5])}")


def wait_for_orphans(tally: Tally) -> None:
    """Note workers and decoders that outlive their command."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        names = [command_line(pid) for pid in descendants(os.getpid())]
        if not any("LabellingActor" in name or "decoder_process" in name for name in names):
            return
        time.sleep(0.5)
    tally.faults.append("workers or decoders outlive their command")


def report(tally: Tally, num_jobs: int, expected: Job, seconds: float) -> None:
    """Print the table."""
    states = Counter(f"{outcome}{f' ({reason})' if reason else ''}" for _, outcome, reason in expected.outcomes())
    print(f"\n{'kill':16} {'times':>5}  what came of it")
    for kind, results in tally.kills.items():
        hits = ", ".join(f"{result} {count}" for result, count in sorted(results.items()))
        print(f"{kind:16} {sum(results.values()):5d}  {hits}")
    print(f"{'all':16} {tally.num_kills:5d}  hit something")
    print(f"commands         {', '.join(f'{code}: {count}' for code, count in sorted(tally.commands.items()))}")
    print(f"unbroken run     {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}")
    print(f"jobs             {num_jobs}, each compared with the unbroken run, in {seconds:.0f} s")
    print("\n".join(["DIFFERENCES", *tally.faults]) if tally.faults else "no difference: 0 lost, 0 twice, same bytes")


def main() -> None:
    """Run the unbroken job, then jobs under kills, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--num-videos", type=int, default=36)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause-sec", type=float, default=0.1, help="of the human teacher, a batch of 8 frames")
    arguments = parser.parse_args()
    generator, tally, started = random.Random(arguments.seed), Tally(), time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="kinet-chaos-"))
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    num_jobs = 0
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        records = make_videos(arguments.videos, arguments.num_videos, root / "poison", generator)
        expected = Job(root / "unbroken", records, arguments.pause_sec)
        print(f"unbroken run: {len(records)} videos", flush=True)
        if finish_command(expected.start(cluster.address), tally) != 0:
            sys.exit(f"the unbroken run failed: {tally.faults}")
        while num_jobs == 0 or (tally.num_kills < arguments.kills and not tally.faults):
            num_jobs += 1
            print(f"job {num_jobs}", flush=True)
            job = Job(root / f"job{num_jobs}", records, arguments.pause_sec)
            harass(job, cluster, generator, arguments.kills, tally)
            compare(job, expected, tally)
        wait_for_orphans(tally)
        report(tally, num_jobs, expected, time.monotonic() - started)
    finally:
        cluster.shutdown()
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(1 if tally.faults else 0)


if __name__ == "__main__":
    main()
