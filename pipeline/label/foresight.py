"""Which shard each worker will most likely be given next: its decoders may begin it before the present one ends."""

from collections.abc import Hashable, Sequence

from pipeline.label.tasks import ShardTask


class Foresight:
    """What is meant for whom; no promise, for a worker with nothing else to do takes what was meant for another."""

    def __init__(self) -> None:
        self._meant: dict[Hashable, str] = {}

    def choose(self, worker: Hashable, ready: Sequence[ShardTask]) -> ShardTask | None:
        """Choose a worker's next shard: the first that is meant for nobody else, else the last one of all."""
        for_others = {name for other, name in self._meant.items() if other != worker}
        chosen = next((task for task in ready if task.name not in for_others), ready[-1] if ready else None)
        if chosen is not None:
            self._meant = {who: name for who, name in self._meant.items() if name != chosen.name}
        return chosen

    def foresee(self, worker: Hashable, ready: Sequence[ShardTask]) -> ShardTask | None:
        """Say what the worker will be given after its present shard, and keep it for it; None where all are taken."""
        meant = self._meant.pop(worker, None)
        for_others = set(self._meant.values())
        free = [task for task in ready if task.name not in for_others]
        after = next((task for task in free if task.name == meant), free[0] if free else None)
        if after is not None:
            self._meant[worker] = after.name
        return after
