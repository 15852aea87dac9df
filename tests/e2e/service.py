"""A whole service of one's own: `boxqueue up` with everything real."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from jobs.settings import PREFIX
from tests.conftest import wait_for

Start = Callable[..., "Up"]


class Up:
    """A running `boxqueue up`, and what it says."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.url = f"http://127.0.0.1:{settings['PORT']}"
        self._said = data.parent / f"{data.name}.said"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environment |= {
            PREFIX + name: value for name, value in {"DATA": str(data), "CHILDREN": "1", **settings}.items()
        }
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up"], env=environment, stdout=said, stderr=said, start_new_session=True
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def wait_until_up(self) -> None:
        wait_for(lambda: "Ctrl-C stops it" in self.said or self.process.poll() is not None, "the service", 240)
        assert self.process.poll() is None, self.said

    def family(self) -> list[psutil.Process]:
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def program(self, words: str) -> psutil.Process | None:
        """The program of the supervisor that has these words in its command line."""
        for one in self.supervisor().children():
            try:
                if words in " ".join(one.cmdline()):
                    return one
            except psutil.NoSuchProcess:
                continue  # killed since, buried or not yet
        return None

    def supervisor(self) -> psutil.Process:
        return psutil.Process(int((self.data / "supervisord.pid").read_text()))

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)
