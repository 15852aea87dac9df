"""A model server that pictures may crash."""

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.services.environment import environment, free_port
from tests.services.processes import Process


class ServerProcess:
    """A model server in its own process. If it is killed or stopped, it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.may_come_back: Callable[[], bool] = lambda: True
        """The server is started again once this is true."""
        self.times_away = self.starts = 0
        self._closed = threading.Event()
        self._start()
        self._restarting = threading.Thread(target=self._restart_when_ended)
        self._restarting.start()

    def kill(self) -> None:
        self._process.send(signal.SIGKILL)

    def close(self) -> None:
        self._closed.set()
        self._restarting.join()
        self._process.end()

    def _start(self) -> None:
        command = [sys.executable, "-m", "tests.fake_model_server", str(self._port), "0.05"]
        self._process = Process(command, environment(), self._folder / "server.log")
        self.starts += 1

    def _restart_when_ended(self) -> None:
        while not self._closed.wait(0.05):
            ended = self._process.status() is not None
            if ended or psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED:
                self.times_away += 1
                while not self.may_come_back() and not self._closed.wait(0.05):
                    pass
                if ended:
                    self._process.end()
                    self._start()
                else:
                    self._process.send(signal.SIGCONT)
