"""Ctrl-C and SIGTERM for commands that have processes to stop before they end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.errors import StopRequested

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the requests to stop: one is to stop in good order, two are to stop at once."""

    def __init__(self) -> None:
        self.count = 0
        self._raising = True

    @property
    def urgent(self) -> bool:
        return self.count > 1

    def hold(self) -> None:
        """From now on a request is only counted, so that stopping is not itself interrupted."""
        self._raising = False

    def received(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._raising:
            self._raising = False
            raise StopRequested


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """The first of SIGINT, SIGTERM and SIGHUP raises `StopRequested` in the main thread, later ones are counted."""
    requests = StopSignals()
    # `nohup` had SIGHUP ignored, and so it stays. SIGINT is taken even where a script's `&` had it ignored: `kill -INT`
    # is how such a script stops the service.
    taken = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, requests.received) for number in taken}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
