"""Which shard each worker will most likely be given next: its decoders may begin it before the present one ends."""

from collections.abc import Hashable, Sequence

from pipeline.label.tasks import ShardTask


class Foresight:
    """What is kept for whom; no promise, for a worker with nothing else to do takes what was kept for another."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, str] = {}

    def take(self, worker: Hashable, ready: Sequence[ShardTask]) -> ShardTask | None:
        """Choose a worker's shard: the first that is kept for nobody else, else the last one of all."""
        for_others = {name for other, name in self._kept.items() if other != worker}
        chosen = next((task for task in ready if task.name not in for_others), ready[-1] if ready else None)
        if chosen is not None:
            self._kept = {who: name for who, name in self._kept.items() if name != chosen.name}
        return chosen

    def keep_next(self, worker: Hashable, ready: Sequence[ShardTask]) -> ShardTask | None:
        """Keep for a worker what it will be given after its present shard; None where all is kept for others."""
        kept = self._kept.pop(worker, None)
        for_others = set(self._kept.values())
        free = [task for task in ready if task.name not in for_others]
        after = next((task for task in free if task.name == kept), free[0] if free else None)
        if after is not None:
            self._kept[worker] = after.name
        return after

    def forget(self, worker: Hashable) -> None:
        """Keep nothing for a worker any more."""
        self._kept.pop(worker, None)
