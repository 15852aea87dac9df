"""The ledger: what a client was promised. One JSON object a line, on the disk before the client goes on.

Lines: `run` (first), `job` (accepted: one line a picture), `again` (the same key sent once more, and what came),
`batch` (opened), `cancel` (asked for, and what came), `unexpected` (an answer that a client should never see).
"""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """Written by any number of threads."""

    def __init__(self, path: Path, run: str) -> None:
        self.path = path
        self.run = run
        self.accepted = 0
        self._guilty: set[str] = set()
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
            self._guilty |= {job["id"] for job in jobs if job["expected"]["status"] != "succeeded"}

    def innocent(self, job_id: str) -> bool:
        """Whether the job is expected to succeed."""
        return job_id not in self._guilty

    def close(self) -> None:
        with self._lock:
            self._file.close()


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The lines; a last one that was cut off by the end of its writer is left out."""
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
