"""Programs that a test starts: their output is kept, and they and their children are killed at the end."""

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
# Every process that a program starts inherits this variable, even one that leaves its session or outlives it.
MARK = "PROCESS_OF_A_TEST"
STOP_SECONDS = 90.0
# The report of a failed test shows this much of a program's output.
SHOWN_CHARACTERS = 4000

running: list["Process"] = []
"""The programs that still run. A failed test shows their output."""


class Process:
    """A running program. Call `end()` in any case; `with` does that, and asks the program to stop first."""

    def __init__(self, command: Command, environment: Mapping[str, str], log: Path, *, cwd: Path = ROOT) -> None:
        self.log = log
        self._mark = secrets.token_hex(8)
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
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
    def output(self) -> str:
        """Standard output and error."""
        return self.log.read_text(errors="replace")

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = LONGEST_SECONDS) -> None:
        """Waits until the condition holds. Fails at once if the program ends before."""
        wait_for(lambda: self.status() is not None or condition(), what, seconds)
        if self.status() is not None:
            pytest.fail(
                f"{what} did not come: the program ended with {self.status()}.\n{self.output[-SHOWN_CHARACTERS:]}"
            )

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kills the program itself, and not its children."""
        self._process.kill()
        self._process.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Waits until it ends by itself. Returns its exit status."""
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            # Celery then logs the stacks of all its threads; the signal ends any other program.
            self.send(signal.SIGUSR1)
            time.sleep(1)
            pytest.fail(f"{self.log.stem} does not end.\n{self.output[-SHOWN_CHARACTERS:]}")

    def stop(self, number: signal.Signals = signal.SIGTERM, seconds: float = STOP_SECONDS) -> int:
        """Asks it to stop. Returns its exit status."""
        self.send(number)
        return self.wait(seconds)

    def descendants(self) -> list[psutil.Process]:
        """The descendants of the program."""
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found

    def end(self) -> None:
        """Kills it and every process that it or its descendants started."""
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
    """Runs a program to its end. Returns its output."""
    return subprocess.run(
        command, cwd=ROOT, env=dict(environment), capture_output=True, text=True, timeout=seconds, check=False
    )
