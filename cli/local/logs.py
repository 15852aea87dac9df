"""The log files of a running service: those of its programs, and the supervisor's log of starts and exits."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# supervisord 4.3: "2026-11-23 20:02:00,123 WARN exited: redis (terminated by SIGKILL; not expected)" and
# "… INFO spawnerr: can't find command 'redis-server'".
EXIT_LINE = re.compile(r" (?:INFO|WARN) exited: (?P<program>\S+) \((?P<how>.*?)(?:; (?:not )?expected)?\)$")
START_FAILURE_LINE = re.compile(r" INFO spawnerr: (?P<how>.*)$")
EXIT_STATUS = re.compile(r"exit status (\d+)")
# Python's logging, Celery and gunicorn name the level near the start of a line. Redis marks a warning with "#", and
# some lines at each start: its name, its version and advice for the kernel.
WARNING = re.compile(r"^.{0,100}?\b(WARNING|ERROR|CRITICAL)\b|^\d+:[A-Z] \d{1,2} \w{3} \d{4} \S+ # ")
REDIS_START_LINE = re.compile(
    r" # (oO0|Redis version=|Configuration loaded|Server initialized|WARNING .*kernel|WARNING .*sysctl)"
)


@dataclass(frozen=True, slots=True)
class ProgramExit:
    """A program ended, or could not be started: then `program` is empty and `how` gives the reason."""

    program: str
    how: str

    @property
    def exit_status(self) -> int | None:
        found = EXIT_STATUS.search(self.how)
        return int(found[1]) if found else None


class LogFile:
    """A log that grows and is rotated. `lines()` returns what was written since the last call."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = path.stat().st_size if path.exists() else 0
        self._inode = path.stat().st_ino if path.exists() else 0
        self._begun = b""

    def lines(self) -> Iterator[str]:
        """New complete lines, without their ends."""
        try:
            with self.path.open("rb") as file:
                status = self.path.stat()
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset, self._begun = status.st_ino, 0, b""
                file.seek(self._offset)
                fresh = file.read()
        except FileNotFoundError:
            return  # not written yet, or being rotated now
        self._offset += len(fresh)
        *complete, self._begun = (self._begun + fresh).split(b"\n")
        for line in complete:
            yield line.decode(errors="replace").rstrip("\r")


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log file; an empty list if there is no file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 20_000))
            return file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def program_exits(lines: Iterator[str]) -> Iterator[ProgramExit]:
    """The exits in lines of the supervisor's log."""
    for line in lines:
        if found := EXIT_LINE.search(line):
            yield ProgramExit(found["program"], found["how"])
        elif found := START_FAILURE_LINE.search(line):
            # If a program exits too quickly, supervisord writes this line beside the one above.
            if not found["how"].startswith("Exited too quickly"):
                yield ProgramExit("", found["how"])


def warnings_in(lines: Iterator[str]) -> Iterator[str]:
    """The lines with the level warning or above."""
    return (line for line in lines if WARNING.search(line) and not REDIS_START_LINE.search(line))
