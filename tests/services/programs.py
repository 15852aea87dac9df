"""The programs of Boxqueue, for tests."""

import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from jobs.settings import Settings
from tests.services.client import Client
from tests.services.environment import environment, free_port, settings_of
from tests.services.processes import Process
from tests.services.waiting import wait_for

# `boxqueue up` may need this long with two frameworks on a busy machine.
UP_SECONDS = 300.0


def python(*arguments: str, interpreter: Path | str = sys.executable) -> list[str]:
    """The command that runs a module. -P: a folder `jobs` in the current directory is not imported instead of ours."""
    return [str(interpreter), "-P", "-m", *arguments]


class Api(Process):
    """`python -m api` with its own data folder and port. It needs a migrated database."""

    def __init__(self, *, data: Path, command: list[str] | None = None, **settings: object) -> None:
        all_settings = {"data": data, "port": free_port(), **settings}
        self.settings: Settings = settings_of(**all_settings)
        self.url = f"http://127.0.0.1:{self.settings.port}"
        super().__init__(command or python("api"), environment(**all_settings), data / "api.log")

    def client(self, timeout: float = 120.0) -> Client:
        return Client(self.url, timeout)

    def wait_until(self, path: str) -> None:
        """Waits until the path answers with success: /healthz soon, /readyz once database and workers are there."""
        with self.client() as client:
            self.wait_for(lambda: client.answers(path), f"{path} of the API")


class Worker(Process):
    """`python -m worker RUNTIME`."""

    def __init__(
        self, runtime: str, variables: Mapping[str, str], log: Path, *, interpreter: Path | str = sys.executable
    ) -> None:
        super().__init__(python("worker", runtime, interpreter=interpreter), variables, log)

    def children(self) -> list[psutil.Process]:
        """The processes of the worker's pool."""
        return [process for process in psutil.Process(self.pid).children() if is_of_pool(process)]


def is_of_pool(process: psutil.Process) -> bool:
    """Whether the process is in the pool of a worker."""
    try:
        return any("spawn_main" in part for part in process.cmdline())
    except psutil.NoSuchProcess:  # a zombie, too: it has just ended
        return False


class Up(Process):
    """`boxqueue up`, by default with one child for each framework."""

    def __init__(self, log: Path, *, data: Path, **settings: object) -> None:
        all_settings = {"data": data, "port": free_port(), "children": 1, **settings}
        self.data = data
        self.port = int(str(all_settings["port"]))
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(python("cli", "up"), environment(**all_settings), log)

    def client(self) -> Client:
        return Client(self.url)

    def wait_until_up(self) -> None:
        self.wait_for(lambda: "Ctrl-C stops it" in self.output, "the service", UP_SECONDS)

    def supervisor(self) -> psutil.Process:
        return psutil.Process(int((self.data / "supervisord.pid").read_text()))

    def program(self, words: str) -> psutil.Process | None:
        """The supervisor's program with these words in its command line."""
        for one in self.supervisor().children():
            try:
                if words in " ".join(one.cmdline()):
                    return one
            except psutil.NoSuchProcess:
                continue  # it has just ended
        return None

    def kill_program(self, words: str) -> None:
        """Kills the program, and waits until the supervisor has started another one."""
        victim = self.program(words)
        assert victim is not None
        victim.kill()
        wait_for(lambda: self.program(words) not in (None, victim), f"another {words}")

    def interrupt(self) -> int:
        """Presses Ctrl-C. Returns the exit status."""
        return self.stop(signal.SIGINT)


Start = Callable[..., Up]
