"""The ledger: the promises of the service to a client. One JSON object a line, on the disk before the client continues.

Lines: `run` (the first), `job` (an accepted picture), `again` (a second answer for the same key), `batch` (created),
`cancel` (requested, with the result), `unexpected` (an answer that a client should never see).
"""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """Thread-safe."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.run = run
        self.accepted = 0
        self._should_fail: set[str] = set()
        self._lock = threading.Lock()
        self._file = path.open("a")
        self.write([{"type": "run", "run": run}])

    def write(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with self._lock:
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())
            jobs = [line for line in lines if line["type"] == "job"]
            self.accepted += len(jobs)
            self._should_fail |= {job["id"] for job in jobs if job["expected"]["status"] != "succeeded"}

    def should_succeed(self, job_id: str) -> bool:
        """Whether the job is expected to succeed."""
        return job_id not in self._should_fail

    def close(self) -> None:
        with self._lock:
            self._file.close()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines, without a last one that is incomplete because its writer was killed."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
