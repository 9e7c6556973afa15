"""Which workers of a job label alike, and the nodes of those that do not. No Ray here."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import KinetError, LabellingError
from pipeline.label.description import WorkerDescription

# How long a first start waits for workers that were asked for, once one is ready, before those that are ready decide.
REPORTS_SEC = 60.0
# A node that was refused gets no worker for so long: somebody may have mended it meanwhile.
REFUSED_SEC = 300.0


class UnfitNodeError(LabellingError):
    """A worker's node cannot label as it was asked to, though its teachers would load there."""


@dataclass(frozen=True)
class Refusal:
    """Why a node gets no worker: the fault, what its worker would label with where that is it, and until when."""

    fault: KinetError
    description: WorkerDescription | None
    until_sec: float


class Refusals:
    """The nodes that get no worker for a while.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_node: dict[str, Refusal] = {}

    def add(self, node_id: str, fault: KinetError, description: WorkerDescription | None) -> None:
        """Refuse a node from now on."""
        self._by_node[node_id] = Refusal(fault, description, self._clock() + REFUSED_SEC)

    @property
    def nodes(self) -> frozenset[str]:
        """The nodes that are refused now."""
        now = self._clock()
        return frozenset(node_id for node_id, refusal in self._by_node.items() if refusal.until_sec > now)

    def of_all(self, node_ids: Collection[str]) -> Refusal | None:
        """Return the first refusal where each of these nodes is refused; None where one is not, or there is none."""
        refused = self.nodes
        if not node_ids or not refused.issuperset(node_ids):
            return None
        return next(refusal for node_id, refusal in self._by_node.items() if node_id in refused)


def choose_agreed(
    reports: Sequence[Mapping[str, str]], num_asked: int, *, is_last_call: bool
) -> Mapping[str, str] | None:
    """Choose what a job that has no plan yet labels with: what more than half of its workers do.

    Args:
        reports: ingredients of the workers that are ready.
        num_asked: workers that were asked for and have room, those that are ready among them.
        is_last_call: the others are waited for no longer; the majority of those that are ready decides.

    Returns:
        The ingredients; None while that is open.

    Raises:
        KinetError: all have reported, and no majority labels alike.
    """
    if not reports:
        return None
    ((first, num_alike), *others) = Counter(frozenset(report.items()) for report in reports).most_common()
    if 2 * num_alike > max(num_asked, len(reports)):
        return dict(first)
    if len(reports) < num_asked and not is_last_call:
        return None
    if 2 * num_alike > len(reports):
        return dict(first)
    differences = name_differences(dict(first), dict(others[0][0]))
    raise KinetError(f"no more than half of the workers label alike: they differ in {differences}")


def name_differences(expected: Mapping[str, str], found: Mapping[str, str]) -> str:
    """Say how a worker differs, and the way out."""
    differences = ", ".join(
        f"{name} ({expected.get(name, 'nothing')} on one, {found.get(name, 'nothing')} on another)"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    )
    return f"{differences}; install the same versions, drivers and teacher files on every node"
