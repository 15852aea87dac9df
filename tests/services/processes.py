"""Programs that a test starts: what they say is kept, and nothing of them is left."""

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
import pytest

from jobs.settings import ROOT
from tests.services.waiting import LONGEST_SECONDS, wait_for

Command = Sequence[str | Path]
# Whatever a program starts inherits it, even what leaves its session or outlives it.
MARK = "PROCESS_OF_A_TEST"
STOP_SECONDS = 90.0
# Of what a program said, so much is shown where a test fails.
SHOWN_CHARACTERS = 4000

running: list["Process"] = []
"""Those that were started and not yet ended: of a test that fails, they say why."""


class Process:
    """A program that runs. Whoever makes one calls `end()` when he is done, whatever happened; or `with` does, which
    asks it to end first."""

    def __init__(self, command: Command, environment: Mapping[str, str], log: Path, *, cwd: Path = ROOT) -> None:
        self.log = log
        self._mark = secrets.token_hex(8)
        with log.open("ab") as said:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running.append(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        try:
            if fault is None and self.status() is None:
                self.stop()
        finally:
            self.end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        """Standard output and error."""
        return self.log.read_text(errors="replace")

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = LONGEST_SECONDS) -> None:
        """Until the condition holds. Fails at once where the program ends before."""
        wait_for(lambda: self.status() is not None or condition(), what, seconds)
        if self.status() is not None:
            pytest.fail(
                f"{what} did not come: the program ended with {self.status()}.\n{self.said[-SHOWN_CHARACTERS:]}"
            )

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """The program itself, and nothing that it started."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            # Celery writes the stacks of all its threads into the log; any other program ends of it.
            self.send(signal.SIGUSR1)
            time.sleep(1)
            pytest.fail(f"{self.log.stem} does not end.\n{self.said[-SHOWN_CHARACTERS:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """Asks it to end; its exit status."""
        self.send(number)
        return self.wait(seconds)

    def family(self) -> list[psutil.Process]:
        """What it has started, and what that has started."""
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found

    def end(self) -> None:
        """Kills it and whatever it started, wherever that is by now."""
        running.remove(self)
        while left := [process for process in psutil.process_iter() if self._is_mine(process)]:
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()
            psutil.wait_procs(left, timeout=10)

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def output_of(
    command: Command, environment: Mapping[str, str], seconds: float = 120
) -> "subprocess.CompletedProcess[str]":
    """What a program said that ends by itself."""
    return subprocess.run(
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, timeout=seconds, check=False
    )
