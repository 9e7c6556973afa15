"""Kill one labelling job at random, again and again, and hold what it leaves against an unbroken run.

    python benchmarks/chaos.py --videos DIR [--kills 50] [--seed 0]

The job: real clips, and among them a video of each kind of poison (`chaos_videos.POISON`: it crashes or hangs the
teachers, bloats its decoder, has no end, breaks off, cannot be read), on a fake Ray cluster of a head and two nodes,
its workspace on a small disk. The kills are `chaos_kills.KILLS`, each as often as the others; one counts where its
effect was seen. They are spread over the job: kills wait for it, and the teachers are slow while it is ahead of them.

It passes where, in the end,

- the shards are the unbroken run's, byte for byte, and no restart touched a committed file;
- every planned video stands in one receipt, once, as it must end, and ``quarantine.csv`` says so;
- no more frames were labelled again than open shards explain;
- every command ended by what befell it; ``verify`` finds nothing, the figures of ``status`` sum up;
- nothing unfinished is left, and no process.

Exit code 1 where any of this does not hold, or not all kills hit.
"""

# ruff: noqa: E402 - the environment must be set before Ray is imported
import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

BENCHMARKS_DIR = Path(__file__).resolve().parent
REPOSITORY = BENCHMARKS_DIR.parent
FOLDER = Path(tempfile.gettempdir()) / f"kinet-chaos-{os.getpid()}-{time.time_ns():x}"
os.environ.update(
    # For every process of the cluster: it finds the package, the teachers and the folder, and notices a lost node soon.
    PYTHONPATH=os.pathsep.join([str(REPOSITORY), str(BENCHMARKS_DIR)]),
    KINET_CHAOS_DIR=str(FOLDER),
    OMP_NUM_THREADS="1",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_AUTH_MODE="disabled",
    RAY_health_check_initial_delay_ms="1000",
    RAY_health_check_period_ms="1000",
    RAY_health_check_failure_threshold="3",
)
sys.path[:0] = [str(REPOSITORY), str(BENCHMARKS_DIR)]

from chaos_checks import (
    CommittedFiles,
    find_differences,
    find_end_faults,
    find_processes,
    find_repeated_work,
    find_report_faults,
)
from chaos_disk import small_disk
from chaos_job import Command, Job
from chaos_kills import KILLS, Result, Scene
from chaos_videos import POISON, make_videos
from ray.cluster_utils import Cluster

NUM_NODES = 2
# Of a job's clips, so many for each kill: enough shards for all kills, with those that are done between two, or while
# one has no effect and is waited for.
CLIPS_A_KILL = 5
# Of a batch, while the job is ahead of the kills, while the effect of one is waited for, and while it is behind.
SLOW_SEC, KILL_SEC, QUICK_SEC = 1.5, 0.2, 0.02
# The share of the shards that must be done before a kill, over the share of the kills that have hit: below 1, as the
# last shards may be those of a teacher that hangs.
LEAD = 0.85
# The longest that a kill waits once a worker is at work; or, some times, once the command has started.
MOST_DELAY_SEC, EARLY_SEC, EARLY_SHARE = 2.5, 6.0, 0.2
# A command that is left in peace and comes to no further shard, or to no end, in this time is a fault of its own.
START_SEC, COMMAND_SEC = 600.0, 900.0
# For each kill, before it is said that its kind does not hit.
TRIES_A_KILL = 4
# Commands that a job may need when nobody kills any more.
SPARE_COMMANDS = 5


@dataclass
class Tally:
    """What happened: results by kind of kill, how the commands ended, and what was wrong."""

    kills: dict[str, Counter[Result]] = field(default_factory=dict)
    commands: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, kind: str, result: Result) -> None:
        """Count a kill."""
        self.kills.setdefault(kind, Counter())[result] += 1
        if result.fault:
            self.faults.append(result.fault)

    def num_hits(self, kind: str) -> int:
        """Kills of a kind whose effect was seen."""
        return sum(count for result, count in self.kills.get(kind, Counter()).items() if result.hit)

    @property
    def num_tries(self) -> int:
        """All kills."""
        return sum(results.total() for results in self.kills.values())


@dataclass
class Chaos:
    """One job under kills.

    Attributes:
        job, cluster: what is killed.
        kinds: of the kills that are still to hit.
        generator: chooses.
        has_small_disk: whether the job's disk may be filled.
        tally: filled while it runs.
    """

    job: Job
    cluster: Cluster
    kinds: list[str]
    generator: random.Random
    has_small_disk: bool
    tally: Tally = field(default_factory=Tally)
    files: CommittedFiles = field(default_factory=CommittedFiles)

    def __post_init__(self) -> None:
        self.num_kills = len(self.kinds)

    def run(self) -> None:
        """Run the job to its end, killing until all kinds have hit; stop at the first fault."""
        for _ in range(TRIES_A_KILL * self.num_kills + SPARE_COMMANDS):
            command = self.job.start()
            if self.generator.random() < EARLY_SHARE:
                time.sleep(self.generator.uniform(0, EARLY_SEC))
                self._kill(command, [kind for kind in self.kinds if kind.startswith("driver")])
            self._harass(command)
            self.job.slow_down(0.0)
            if finish(command, self.tally) == 0 or self.tally.faults:
                break
            self.tally.faults += self.files.find_changes(self.job)
        self.tally.faults += self.files.find_changes(self.job)
        if self.kinds:
            self.tally.faults.append(f"without a hit: {dict(Counter(self.kinds))}; more --kills or clips may do")

    def _harass(self, command: Command) -> None:
        """Kill while the command runs and there are kills left."""
        since_sec, quiet_sec = time.time(), time.monotonic()
        while command.is_running and self.kinds and not self.tally.faults:
            self._keep_pace()
            if time.monotonic() - quiet_sec > START_SEC:
                self.tally.faults.append(f"there was nothing to kill for {START_SEC:.0f} s")
            elif not self._is_due() or not self.job.is_labelling(since_sec):
                time.sleep(0.05)
            else:
                time.sleep(self.generator.uniform(0.0, MOST_DELAY_SEC))
                self._kill(command, self.kinds)
                quiet_sec = time.monotonic()

    def _kill(self, command: Command, kinds: list[str]) -> None:
        if not command.is_running or not kinds:
            return
        kind = self.generator.choice(kinds)
        self.job.slow_down(KILL_SEC)
        command.kills.append(kind)
        mark = os.environ["KINET_CHAOS_DIR"]
        result = KILLS[kind](Scene(self.cluster, self.job, command, self.generator, mark, self.has_small_disk))
        self.tally.note(kind, result)
        if result.hit:
            self.kinds.remove(kind)
        self.tally.faults += self.files.find_changes(self.job)
        done = f"{self.num_kills - len(self.kinds)}/{self.num_kills} kills"
        print(f"  {done}, {self._share_done():4.0%} of the shards: {kind}: {result.words}", flush=True)
        if self.tally.num_tries >= TRIES_A_KILL * self.num_kills:
            self.tally.faults.append(f"only {done} hit in {self.tally.num_tries} tries")

    def _is_due(self) -> bool:
        """Whether the job has come so far that the next kill finds shards committed since the last one."""
        num_hits = self.num_kills - len(self.kinds)
        return self._share_done() >= LEAD * num_hits / self.num_kills

    def _keep_pace(self) -> None:
        num_hits = self.num_kills - len(self.kinds)
        is_ahead = self._share_done() >= (num_hits + 1) / self.num_kills
        self.job.slow_down(SLOW_SEC if is_ahead else QUICK_SEC)

    def _share_done(self) -> float:
        return len(self.job.committed()) / 2 / self.job.num_shards


def finish(command: Command, tally: Tally) -> int:
    """Wait for a command and note how it ended."""
    try:
        command.process.wait(timeout=COMMAND_SEC)
    except subprocess.TimeoutExpired:
        command.process.kill()
        command.process.wait()
        tally.faults.append(f"a command did not end in {COMMAND_SEC:.0f} s")
    code = command.process.returncode
    tally.commands[f"exit {code}"] += 1
    tally.faults += find_end_faults(command)
    if code == 1:
        print(f"    the command says: {command.said().strip().splitlines()[-1][-220:]}", flush=True)
    return code


def choose_kinds(kinds: list[str], num_kills: int) -> list[str]:
    """List the kinds of all kills, each as often as the others."""
    return [kinds[i % len(kinds)] for i in range(num_kills)]


def report(tally: Tally, expected: Job, seconds: float) -> None:
    """Print the table."""
    states = Counter(f"{end.outcome}{f' ({end.reason})' if end.reason else ''}" for end in expected.ends().values())
    print(f"\n{'kill':16} {'tries':>5} {'hits':>5}  what came of it")
    for kind, results in tally.kills.items():
        words = ", ".join(f"{result.words} {count}" for result, count in results.items())
        print(f"{kind:16} {results.total():5d} {tally.num_hits(kind):5d}  {words}")
    print(f"{'all':16} {tally.num_tries:5d} {sum(map(tally.num_hits, tally.kills)):5d}")
    print(f"commands         {', '.join(f'{code}: {count}' for code, count in sorted(tally.commands.items()))}")
    print(f"unbroken run     {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}")
    print(f"one job          {expected.num_shards} shards, {seconds:.0f} s with the unbroken run")


def run_both(cluster: Cluster, arguments: argparse.Namespace, has_small_disk: bool) -> list[str]:
    """Run the unbroken job, then the one under kills; return what does not hold."""
    generator = random.Random(arguments.seed)
    started = time.monotonic()
    num_clips = arguments.num_videos or CLIPS_A_KILL * arguments.kills
    records = make_videos(arguments.videos, num_clips, FOLDER / "poison", generator, arguments.poison)
    jobs = [Job(FOLDER / name, records, FOLDER, cluster.address, NUM_NODES) for name in ("unbroken", "disk/job")]
    expected, job = jobs
    print(f"unbroken run: {len(records)} videos, {expected.num_shards} shards", flush=True)
    expected.slow_down(0.0)
    tally = Tally()
    if finish(expected.start(), tally) != 0:
        return tally.faults
    faults = find_differences(expected, expected)
    unbroken = expected.num_batches
    print(f"the job that is killed, after {time.monotonic() - started:.0f} s", flush=True)
    kinds = choose_kinds(arguments.kinds, arguments.kills)
    chaos = Chaos(job, cluster, kinds, generator, has_small_disk)
    chaos.run()
    faults += chaos.tally.faults
    faults += find_differences(job, expected) + find_report_faults(job)
    faults += find_repeated_work(
        job,
        num_batches=job.num_batches - unbroken,
        unbroken=unbroken,
        num_commands=chaos.tally.commands.total(),
        num_kills=chaos.tally.num_tries,
    )
    report(chaos.tally, expected, time.monotonic() - started)
    print(f"batches          {job.num_batches - unbroken}, unbroken {unbroken}")
    return faults + find_processes(str(FOLDER), whole_cluster=False)


def main() -> None:
    """Run, clean up, and say what does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=Path, required=True, metavar="DIR")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--num-videos", type=int, help=f"clips  [default: {CLIPS_A_KILL} for each kill]")
    for option, names in (("--kinds", KILLS), ("--poison", POISON)):
        known = ",".join(names)
        parser.add_argument(option, default=known, metavar="NAME,...", help=f"of {known}  [default: all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave both jobs' files where something differs")
    arguments = parser.parse_args()
    arguments.kinds, arguments.poison = arguments.kinds.split(","), arguments.poison.split(",")
    if unknown := {*arguments.kinds, *arguments.poison} - {*KILLS, *POISON}:
        parser.error(f"unknown names: {', '.join(sorted(unknown))}")
    # So that the disk is unmounted and the cluster ended then too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    faults: list[str] = []
    try:
        with small_disk(FOLDER / "disk") as has_small_disk:
            if not has_small_disk:
                print("no small disk can be mounted: instead of filling it, files are kept from growing")
            cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
            try:
                for _ in range(NUM_NODES):
                    cluster.add_node(num_cpus=1)
                faults += run_both(cluster, arguments, has_small_disk)
            finally:
                cluster.shutdown()
            faults += find_processes(str(FOLDER), whole_cluster=True)
            if faults and arguments.keep:
                kept = Path(tempfile.mkdtemp(prefix="kinet-chaos-kept-"))
                # What cannot be copied is left out.
                with contextlib.suppress(shutil.Error):
                    shutil.copytree(FOLDER, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("poison"))
                print(f"kept in {kept}")
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
    print("\n".join(["DIFFERENCES", *faults]) if faults else "no difference: 0 lost, 0 twice, same bytes")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
