"""What the chaos program does to a labelling job on a fake cluster: one function for each kind of kill."""

import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ray.cluster_utils import Cluster

TERMINATION_SEC = 10.0
FULL_DISK_SEC = 30.0
# Of a decoder's or worker's file: less than any shard.
TINY_FILE_BYTES = 1024


@dataclass
class Scene:
    """What there is to kill.

    Attributes:
        cluster: of one head without processors and some nodes with one each.
        driver: the running command.
        generator: chooses.
    """

    cluster: Cluster
    driver: subprocess.Popen[str]
    generator: random.Random

    def choose_process(self, words: str) -> int | None:
        """Choose one of the processes below this one whose command line holds `words`."""
        found = sorted(pid for pid in descendants(os.getpid()) if words in command_line(pid))
        return self.generator.choice(found) if found else None


def descendants(pid: int) -> Iterator[int]:
    """Walk the process tree below a process."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield int(child)
            yield from descendants(int(child))


def command_line(pid: int) -> str:
    """Return a process's command line; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def kill_driver(scene: Scene) -> str:
    """End the command without warning."""
    scene.driver.kill()
    scene.driver.wait()
    return "killed"


def terminate_driver(scene: Scene) -> str:
    """Ask the command to end, as a scheduler does."""
    started = time.monotonic()
    scene.driver.send_signal(signal.SIGTERM)
    code = scene.driver.wait(timeout=60)
    seconds = time.monotonic() - started
    return f"exit {code}" if seconds <= TERMINATION_SEC else f"exit {code} after more than {TERMINATION_SEC:.0f} s"


def kill_worker(scene: Scene) -> str:
    """End a labelling worker, as the kernel does when memory runs out."""
    return _signal_process(scene, "ray::LabellingActor")


def kill_decoder(scene: Scene) -> str:
    """End a decoding process."""
    return _signal_process(scene, "pipeline.label.decoder_process")


def lose_node(scene: Scene) -> str:
    """Take a node away, with all that runs on it, and bring another one a little later."""
    node = scene.generator.choice(sorted(scene.cluster.worker_nodes, key=lambda node: node.node_id))
    scene.cluster.remove_node(node, allow_graceful=False)
    time.sleep(scene.generator.uniform(0.5, 3.0))
    scene.cluster.add_node(num_cpus=1, wait=False)
    return "lost, another one came"


def fill_disk(scene: Scene) -> str:
    """Let a worker's files grow no further, so that its next write fails as on a full disk; wait for the command."""
    pid = scene.choose_process("ray::LabellingActor")
    if pid is None:
        return "no worker just then"
    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (TINY_FILE_BYTES, TINY_FILE_BYTES))
    except ProcessLookupError:
        return "no worker just then"
    try:
        return f"exit {scene.driver.wait(timeout=FULL_DISK_SEC)}"
    except subprocess.TimeoutExpired:
        # The worker that was hit was at its end, or ended otherwise.
        return "nothing was written"


KILLS: dict[str, Callable[[Scene], str]] = {
    "driver SIGKILL": kill_driver,
    "driver SIGTERM": terminate_driver,
    "worker SIGKILL": kill_worker,
    "decoder SIGKILL": kill_decoder,
    "node lost": lose_node,
    "disk full": fill_disk,
}


def _signal_process(scene: Scene, words: str) -> str:
    pid = scene.choose_process(words)
    if pid is None:
        return "none just then"
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return "none just then"
    return "killed"
