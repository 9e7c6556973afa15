"""Time what a driver does for a data set of Kinetics-400's size: the plan, `status`, and a start with nothing to do.

The workspace has a manifest, a plan and a receipt for every shard, and two teachers of full size with random weights;
the shards themselves and the videos are not needed for any of it. Each step runs in a process of its own, as a user
would run it; memory is that process's peak.

Run: ``python benchmarks/bench_scale.py [shards]``; 2,100 shards of 128 videos without an argument.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

KINETICS_SHARDS = 2_100
VIDEOS_PER_SHARD = 128
DATASET = "large"
MASK_QUALITY = {"coverage": 0.1234, "empty_share": 0.0433, "flicker": 0.1151}
TEACHERS = {"human": ("pspnet_densenet121", 20), "scene": ("resnet152", 365)}

# The plan as a first start makes it, without the teachers: read the manifest, hash it, cut it, write.
PLAN = """
import sys
from pathlib import Path
from pipeline.datasets import load_dataset
from pipeline.label.plan import Plan, even_sizes, manifest_digest, partition, write_plan
from pipeline.workspace import Workspace
records = load_dataset(Workspace.locate(sys.argv[1]), sys.argv[2])
plan = Plan(sys.argv[2], 128, {"manifest": manifest_digest(records)}, partition(records, even_sizes(records, 128)))
write_plan(Path(sys.argv[3]), plan)
"""

# What such a start adds where no video was probed: the size of every file is asked for.
SIZES = """
import sys
from pathlib import Path
from manifests import VideoRecord
from pipeline.label.shard_sizes import choose_sizes
records = [VideoRecord(path.stem, path, "train", 0, "class") for path in sorted(Path(sys.argv[1]).glob("*/*.mp4"))]
choose_sizes(records, 2000.0)
"""


@dataclass(frozen=True)
class Cost:
    """What one process took: wall seconds, its own processor seconds, and peak memory."""

    seconds: float
    cpu_sec: float
    peak_mb: float


def make_workspace(folder: str, num_shards: int) -> None:
    """Write manifest, teachers, plan and receipts, all shards committed; every 200th video quarantined."""
    # Here, and called in a process of its own: a program that this one starts would begin with this one's peak memory.
    from manifests import VideoRecord, write_manifest
    from pipeline.datasets import digest_manifest_file
    from pipeline.label.local import LocalPool
    from pipeline.label.plan import Plan, even_sizes, manifest_digest, partition, write_plan
    from pipeline.label.settings import LabelSettings, TeacherSettings
    from pipeline.label.teacher_files import digest_teacher_files
    from pipeline.shards import Receipt, VideoOutcome, write_receipt
    from pipeline.workspace import Workspace
    from teachers.architectures import build_network, default_preprocessing
    from teachers.cards import TeacherCard
    from teachers.kinds import Kind
    from teachers.storage import save_teacher

    workspace = Workspace(Path(folder))
    videos_dir = workspace.videos_dir(DATASET)
    videos_dir.mkdir(parents=True)
    records = [
        VideoRecord(
            f"{row:011d}_{row % 300:06d}",
            videos_dir / f"class_{row % 400}" / f"{row:011d}_{row % 300:06d}.mp4",
            "train" if row < num_shards * VIDEOS_PER_SHARD * 9 // 10 else "val",
            row % 400,
            f"playing instrument {row % 400}",
            num_frames=300,
            fps=29.97,
            height=256,
            width=340,
        )
        for row in range(num_shards * VIDEOS_PER_SHARD)
    ]
    write_manifest(workspace.manifest_path(DATASET), records)
    for kind, (architecture, classes) in ((Kind(name), network) for name, network in TEACHERS.items()):
        card = TeacherCard(kind, architecture, classes, default_preprocessing(kind), "random weights")
        save_teacher(build_network(kind, architecture, classes), card, workspace.teacher_path(kind))
    settings = TeacherSettings(workspace.teacher_path(Kind.HUMAN), workspace.teacher_path(Kind.SCENE))
    shards_dir = workspace.shards_dir(DATASET)
    with LocalPool(settings, LabelSettings(), shards_dir) as pool:
        ingredients = {"manifest": manifest_digest(records), **pool.describe(measure=False).ingredients}
    shards = partition(records, even_sizes(records, VIDEOS_PER_SHARD))
    manifest_file = digest_manifest_file(workspace, DATASET)
    plan = Plan(DATASET, VIDEOS_PER_SHARD, ingredients, shards, digest_teacher_files(settings), manifest_file)
    write_plan(shards_dir, plan)
    for shard in plan.shards:
        outcomes = tuple(
            VideoOutcome(video_id=record.video_id, outcome="quarantined", reason="truncated", message="made up")
            if place % 200 == 7
            else VideoOutcome(
                video_id=record.video_id, outcome="ok", frames=300, declared_frames=300, mask_quality=MASK_QUALITY
            )
            for place, record in enumerate(shard.records)
        )
        videos = sum(outcome.outcome == "ok" for outcome in outcomes)
        receipt = Receipt(
            dataset=DATASET,
            split=shard.split,
            shard=shard.name,
            shard_index=shard.index,
            shard_count=shard.count,
            sha256="0" * 64,
            shard_bytes=25_000_000,
            frames=300 * videos,
            videos=videos,
            fingerprint=plan.fingerprint,
            outcomes=outcomes,
            seconds=60.0,
            stage_seconds={"decode_wait": 30.0, "teachers": 25.0, "write": 4.0},
        )
        write_receipt(shards_dir / f"{shard.name}.json", receipt)


def make_files(folder: str, num_files: int) -> str:
    """Make small files that stand for videos without a header, 640 a folder; return the folder of all."""
    for number in range(num_files):
        path = Path(folder, "files", str(number // 640), f"{number}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no header")
    return str(Path(folder, "files"))


def measure(*command: str) -> Cost:
    """Run a program to its end, in peace; exit where it fails."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        sys.exit(f"{' '.join(command)} failed")
    return Cost(time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    """Print the figures."""
    num_shards = int(sys.argv[1]) if len(sys.argv) > 1 else KINETICS_SHARDS
    with tempfile.TemporaryDirectory() as folder:
        making = multiprocessing.get_context("spawn").Process(target=make_workspace, args=(folder, num_shards))
        making.start()
        making.join()
        if making.exitcode:
            sys.exit("the workspace could not be made")
        command = [sys.executable, "-m", "pipeline.cli"]
        options = ["--dataset", DATASET, "--workspace", folder, "--json"]
        print(f"{num_shards} shards, {num_shards * VIDEOS_PER_SHARD} videos, {os.cpu_count()} cores")
        for name, goal_sec, cost in (
            ("plan", 30, measure(sys.executable, "-c", PLAN, folder, DATASET, str(Path(folder, "plan")))),
            (
                "shards of unprobed videos",
                30,
                measure(sys.executable, "-c", SIZES, make_files(folder, num_shards * VIDEOS_PER_SHARD)),
            ),
            ("status", 5, measure(*command, "status", *options)),
            ("label, all done, this process", 10, measure(*command, "label", "--workers", "0", *options)),
            ("label, all done, Ray", 10, measure(*command, "label", "--workers", "1", *options)),
        ):
            print(
                f"{name:<30} {cost.seconds:6.1f} s, {cost.seconds / goal_sec:4.2f} of the goal's {goal_sec} s   "
                f"{cost.cpu_sec:6.1f} s of processor   {cost.peak_mb:6.0f} MB"
            )


if __name__ == "__main__":
    main()
