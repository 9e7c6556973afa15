"""End a run cleanly on SIGINT and SIGTERM."""

import signal
import threading
from types import FrameType, TracebackType

from pipeline.errors import InterruptedRun
from pipeline.signals import EXIT_CODES


class StopRequest:
    """Remember that SIGINT or SIGTERM came, so that a loop can end where its state is whole.

    The first signal is noted; a second one raises KeyboardInterrupt at once. Outside the main thread, where Python
    delivers no signals, it notes nothing. The former handlers come back at the end.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._former: dict[signal.Signals, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                self._former[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)

    def raise_if_asked(self, saved: str) -> None:
        """Raise InterruptedRun where a signal came; `saved` says what is safe and how to go on."""
        if self.signal is not None:
            raise InterruptedRun(f"stopped by {self.signal.name}; {saved}", EXIT_CODES[self.signal])


def quiet_worker(worker_id: int) -> None:
    """Leave signals to the parent: Ctrl-C reaches the whole process group, and the parent ends its workers itself.

    For `DataLoader(worker_init_fn=...)`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
