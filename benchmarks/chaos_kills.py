"""What the chaos program does to a labelling job on a fake cluster: one function for each kind of kill.

A kill counts where its effect was seen: the command ended by it, or said of the worker or the disk what befell them.
"""

import contextlib
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from chaos_disk import filled
from chaos_job import Command, Job
from chaos_processes import DECODER, WORKER, marked_processes, parent_of, wait_for
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

TERMINATION_SEC = 10.0
# Until it shows, on a busy machine; a lost node is noticed after three seconds.
EFFECT_SEC = 45.0
NOTICE_SEC = 3.0
# Of any file, where there is no small disk to fill: less than any shard.
TINY_FILE_BYTES = 1024
# What a command says of a worker that is gone, at work or not yet, and of a full disk.
WORKER_GONE = ("its worker died", "a worker did not start")
DISK_FULL = "the disk takes no more"


class Result(NamedTuple):
    """What came of a kill: in words, whether its effect was seen, and what was wrong with it."""

    words: str
    hit: bool = True
    fault: str | None = None


NOTHING = Result("nothing seen", hit=False)


@dataclass
class Scene:
    """What there is to kill.

    Attributes:
        cluster: of one head without processors and some nodes with one each.
        job: under way.
        command: running.
        generator: chooses.
        mark: in the environment of all processes of the run.
        has_small_disk: whether the job lies on a disk that may be filled.
    """

    cluster: Cluster
    job: Job
    command: Command
    generator: random.Random
    mark: str
    has_small_disk: bool

    def processes(self, words: str) -> list[int]:
        """Return the run's processes whose command line holds some words."""
        return sorted(pid for pid, line in marked_processes(self.mark).items() if words in line)

    def num_workers_gone(self) -> int:
        """Count how often the command has said that a worker is gone."""
        said = self.command.said()
        return sum(map(said.count, WORKER_GONE))

    def worker_shows_gone(self, before: int) -> bool:
        """Wait until the command says so once more than before, or has ended; tell whether it did."""
        wait_for(lambda: self.num_workers_gone() > before or not self.command.is_running, EFFECT_SEC)
        return self.num_workers_gone() > before


def kill_driver(scene: Scene) -> Result:
    """End the command without warning."""
    scene.command.process.kill()
    code = scene.command.process.wait()
    return Result(f"exit {code}", hit=code == -signal.SIGKILL)


def terminate_driver(scene: Scene) -> Result:
    """Ask the command to end, as a scheduler does."""
    started = time.monotonic()
    scene.command.process.send_signal(signal.SIGTERM)
    try:
        code = scene.command.process.wait(timeout=EFFECT_SEC)
    except subprocess.TimeoutExpired:
        scene.command.process.kill()
        return Result("no end", fault=f"SIGTERM did not end the command in {EFFECT_SEC:.0f} s")
    seconds = time.monotonic() - started
    fault = None if seconds <= TERMINATION_SEC else f"SIGTERM took {seconds:.0f} s to end the command"
    return Result(f"exit {code}", hit=code == 128 + signal.SIGTERM, fault=fault)


def kill_worker(scene: Scene) -> Result:
    """End a labelling worker, as the kernel does when memory runs out."""
    before = scene.num_workers_gone()
    if not _kill_one(scene, scene.processes(WORKER)):
        return NOTHING
    return Result("replaced") if scene.worker_shows_gone(before) else NOTHING


def kill_decoder(scene: Scene) -> Result:
    """End a decoding process; its worker starts another one."""
    before = scene.processes(DECODER)
    victim = _kill_one(scene, before)
    if victim is None:
        return NOTHING
    pid, worker = victim

    def is_replaced() -> bool:
        return any(parent_of(other) == worker for other in scene.processes(DECODER) if other not in before)

    gone = wait_for(lambda: parent_of(pid) != worker or pid not in scene.processes(DECODER), EFFECT_SEC)
    wait_for(lambda: is_replaced() or parent_of(worker) is None, EFFECT_SEC)
    return Result("replaced") if gone and is_replaced() else NOTHING


def lose_node(scene: Scene) -> Result:
    """Take a node away, with all that runs on it, and bring another one a little later."""
    before = scene.num_workers_gone()
    node = _choose_node(scene)
    if node is None:
        return NOTHING
    scene.cluster.remove_node(node, allow_graceful=False)
    time.sleep(scene.generator.uniform(0.5, 3.0))
    scene.cluster.add_node(num_cpus=1, wait=False)
    return Result("another one came") if scene.worker_shows_gone(before) else NOTHING


def preempt_node(scene: Scene) -> Result:
    """Give notice that a node will go, bring another one, and let it go when the notice ends."""
    before = scene.num_workers_gone()
    node = _choose_node(scene)
    if node is None:
        return NOTHING
    accepted, why = GcsClient(address=scene.cluster.address).drain_node(
        node.node_id,
        DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"),
        "chaos",
        int((time.time() + NOTICE_SEC) * 1000),
    )
    scene.cluster.add_node(num_cpus=1, wait=False)
    time.sleep(NOTICE_SEC)
    scene.cluster.remove_node(node, allow_graceful=False)
    if not accepted:
        return Result(f"notice refused: {why}", hit=False)
    return Result("another one came") if scene.worker_shows_gone(before) else NOTHING


def fill_disk(scene: Scene) -> Result:
    """Fill the disk to the last byte until the command ends, or has long been used to it."""
    before = scene.command.said().count(DISK_FULL)
    with filled(scene.job.workspace.root) if scene.has_small_disk else _bounded_files(scene):
        wait_for(lambda: not scene.command.is_running, EFFECT_SEC)
    if scene.command.said().count(DISK_FULL) == before:
        return NOTHING
    code = scene.command.process.poll()
    return Result("said" if code is None else f"said, exit {code}")


KILLS: dict[str, Callable[[Scene], Result]] = {
    "driver SIGKILL": kill_driver,
    "driver SIGTERM": terminate_driver,
    "worker SIGKILL": kill_worker,
    "decoder SIGKILL": kill_decoder,
    "node lost": lose_node,
    "node preempted": preempt_node,
    "disk full": fill_disk,
}


def _choose_node(scene: Scene) -> Any:
    """Choose a node that has a worker: its parent is one of the node's processes; None where there is none."""
    parents = {parent_of(pid) for pid in scene.processes(WORKER)}
    busy = [
        node
        for node in scene.cluster.worker_nodes
        if not parents.isdisjoint(process.pid for _, process in node.live_processes())
    ]
    return scene.generator.choice(sorted(busy, key=lambda node: node.node_id)) if busy else None


def _kill_one(scene: Scene, pids: list[int]) -> tuple[int, int] | None:
    """Kill one of some processes; return it and its parent, None where it was gone."""
    pid = scene.generator.choice(pids) if pids else 0
    parent = parent_of(pid) if pid else None
    if parent is None:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        return pid, parent
    return None


@contextlib.contextmanager
def _bounded_files(scene: Scene) -> Any:
    """Let no file of the workers grow: to a writer that is a full disk. It ends with them."""
    for pid in scene.processes(WORKER):
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (TINY_FILE_BYTES, TINY_FILE_BYTES))
    yield
