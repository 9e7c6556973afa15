"""What is left out, said once and counted, without a line for each of a million images."""

import logging

log = logging.getLogger(__name__)

MAX_NAMED = 10


class LeftOut:
    """Collect the faults of images that cannot be used; the first ten are named in the log."""

    def __init__(self) -> None:
        self.faults: dict[str, None] = {}

    def note(self, fault: str) -> None:
        """Count a fault, once however often it is met."""
        if fault in self.faults:
            return
        self.faults[fault] = None
        if len(self.faults) <= MAX_NAMED:
            log.warning("left out: %s", fault)
        elif len(self.faults) == MAX_NAMED + 1:
            log.warning("more images are left out; they are counted, not named")
