"""Ctrl-C and SIGTERM for commands that have processes to stop before they end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.errors import StopRequested

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Counts the requests to stop. The first one asks for a shutdown in order, the second one for an end at once."""

    def __init__(self) -> None:
        self.count = 0
        self._raising = True

    @property
    def urgent(self) -> bool:
        return self.count > 1

    def hold(self) -> None:
        """From now on requests are only counted, so that they do not interrupt the shutdown."""
        self._raising = False

    def received(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._raising:
            self._raising = False
            raise StopRequested


@contextmanager
def stop_signals() -> Iterator[StopSignals]:
    """The first SIGINT, SIGTERM or SIGHUP raises `StopRequested` in the main thread; later ones are counted."""
    requests = StopSignals()
    # If `nohup` ignores SIGHUP, it stays ignored. SIGINT is handled even if a script's `&` ignores it, because such a
    # script stops the service with `kill -INT`.
    taken = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, requests.received) for number in taken}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
