"""What a labelling job asks of its workers, wherever they are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from pipeline.label.description import WorkerDescription, WorkerResources
from pipeline.label.shard_queue import ShardRun
from pipeline.label.tasks import ShardTask
from pipeline.shards import Receipt


class WorkerPool(Protocol):
    """Workers that label shards: one in this process, or many on Ray."""

    @property
    def resources(self) -> WorkerResources:
        """How many workers there are, and what each holds."""
        ...

    def describe(self, *, measure: bool, expected: Mapping[str, str] | None = None) -> WorkerDescription:
        """Say what the workers label with; all of them alike.

        Args:
            measure: how fast one is, too.
            expected: ingredients that a plan fixed: a worker that has others is refused while there are some with them.
        """
        ...

    def label_all(
        self, tasks: Sequence[ShardTask], on_tick: Callable[[int], None], earlier_pace: Sequence[float] = ()
    ) -> Iterator[Receipt]:
        """Label shards in any order; yield each receipt when the pair that `placing` describes is ready.

        Of a shard that two workers were at, the first one's; what the other leaves is swept away.

        Args:
            tasks: what to label.
            on_tick: called now and then with the frames labelled so far, open shards included.
            earlier_pace: seconds a frame of shards committed before, by which a shard is late where several are there.

        Raises:
            KinetError: a shard could not be labelled; those yielded stay.
        """
        ...

    def open_runs(self) -> tuple[ShardRun, ...]:
        """Return the attempts at shards that are under way, with the frames that each has labelled so far."""
        ...
