"""A batch on the client's side: open it, send pictures, follow it and read its results."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.client import ServiceClient
from cli.errors import CommandError, Refused
from cli.pictures import Picture, UnreadablePicture

# A summary names this many failed pictures of each error code.
EXAMPLES = 3
TOO_LARGE = 413  # HTTP status


@dataclass(slots=True)
class Failures:
    """The number of failed pictures for each error code, and the names of the first few."""

    count: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, code: str, source: str) -> None:
        self.count[code] += 1
        named = self.examples.setdefault(code, [])
        if len(named) < EXAMPLES:
            named.append(source)

    @property
    def total(self) -> int:
        return self.count.total()

    def update(self, others: "Failures") -> None:
        """Adds the failures of another count."""
        self.count.update(others.count)
        for code, sources in others.examples.items():
            self.examples[code] = [*self.examples.get(code, []), *sources][:EXAMPLES]

    def add_job(self, job: dict[str, Any]) -> None:
        self.add(job["error"]["code"], job["source"] or job["id"])


class Batch:
    """One batch of one service."""

    def __init__(self, client: ServiceClient, batch_id: str, options: dict[str, str] | None = None) -> None:
        """`options`: the form fields of each request (model, priority, min_score)."""
        self.id = batch_id
        self._client = client
        self._options = options or {}
        self._requests = 0
        # Pictures that did not become jobs: unreadable here, or too large for any request.
        self.refused = Failures()

    @classmethod
    def open(cls, client: ServiceClient, name: str | None, options: dict[str, str]) -> "Batch":
        return cls(client, client.post("/v1/batches", json={"name": name})["id"], options)

    def send(self, group: Sequence[Picture | UnreadablePicture]) -> int:
        """Sends one request. Returns the number of accepted pictures; `refused` counts those that could not be sent."""
        for item in group:
            if isinstance(item, UnreadablePicture):
                self.refused.add("unreadable", f"{item.source} ({item.reason})")
        pictures = [item for item in group if isinstance(item, Picture)]
        if not pictures:
            return 0
        self._requests += 1
        try:
            answer = self._client.post(
                f"/v1/batches/{self.id}/jobs",
                # The name of a file in a form can't hold every character; httpx would send a quote as %22.
                data={**self._options, "source": [picture.source for picture in pictures]},
                files=[("image", (picture.source, picture.content)) for picture in pictures],
                # Repeated requests have the same key, so that no picture becomes two jobs.
                headers={"Idempotency-Key": f"{self.id}-{self._requests}"},
            )
        except Refused as refusal:
            if refusal.status != TOO_LARGE:
                raise
            return self._send_smaller(pictures, refusal)
        return len(answer["jobs"])

    def _send_smaller(self, pictures: list[Picture], refusal: Refused) -> int:
        if len(pictures) == 1:
            self.refused.add(refusal.code, pictures[0].source)
            return 0
        middle = len(pictures) // 2
        return self.send(pictures[:middle]) + self.send(pictures[middle:])

    def close(self) -> None:
        self._client.post(f"/v1/batches/{self.id}/close")

    def progress(self) -> dict[str, Any]:
        """The batch as the service shows it."""
        shown: dict[str, Any] = self._client.get(f"/v1/batches/{self.id}")
        return shown

    def results(self) -> Iterator[str]:
        """The finished jobs, each as a line of JSON."""
        return filter(None, self._client.lines(f"/v1/batches/{self.id}/results"))

    def failed(self) -> Iterator[dict[str, Any]]:
        """The failed jobs."""
        return self._client.jobs(batch=self.id, status="failed", limit=100)


def is_over(shown: dict[str, Any]) -> bool:
    """Whether no job is pending: the batch is finished, cancelled, or open with no work left."""
    return shown["status"] in ("finished", "cancelled") or (shown["status"] == "open" and shown["pending"] == 0)


class ResultsFile:
    """A file with the results of a batch. It gets its name only when it is complete."""

    def __init__(self, path: Path) -> None:
        """Raises `CommandError` if the file can't be written, before any work is done for it."""
        self.path = path
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._unfinished.open("wb").close()
        except OSError as error:
            raise CommandError(f"Can't write {path}: {error.strerror}.") from None

    def write(self, lines: Iterable[str], least: int, most: int) -> Failures:
        """Writes one line of JSON for each job. Returns the failures among them.

        Raises `CommandError` and writes no file if there are fewer than `least` or more than `most` lines.
        """
        failures = Failures()
        written = 0
        with self._unfinished.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")
                written += 1
                # Most jobs succeed, and parsing every line would be most of the work here.
                if '"failed"' in line and (job := json.loads(line))["status"] == "failed":
                    failures.add_job(job)
            file.flush()
            os.fsync(file.fileno())
        if not least <= written <= most:
            raise CommandError(f"The service sent {written} results, but the batch has {least}: try --resume.")
        self._unfinished.replace(self.path)
        return failures

    def discard(self) -> None:
        """Deletes an incomplete file."""
        self._unfinished.unlink(missing_ok=True)
