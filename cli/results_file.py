"""The file with the results of a batch, and the count of what failed or was skipped."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.errors import CommandError
from cli.pictures import Unsent, ending_of

# A summary names this many files of each code.
EXAMPLES = 3
# Files may have as many endings as they have names, so the rarer ones are counted together.
MAX_ENDINGS = 50
OTHER_ENDINGS = "other endings"
# All fields that a job has.
_FIELDS = (
    *("id", "status", "model", "model_digest", "batch_id", "source", "priority", "deaths", "repeated", "image"),
    *("detections", "error", "metadata", "device", "timings_ms", "created_at", "started_at", "finished_at", "links"),
)


@dataclass(slots=True)
class Tally:
    """The number of files for each code, also by the ending of their names, and the first few names."""

    count: Counter[str] = field(default_factory=Counter)
    endings: dict[str, Counter[str]] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, code: str, source: str, reason: str = "") -> None:
        self.count[code] += 1
        endings, ending = self.endings.setdefault(code, Counter()), ending_of(source)
        endings[ending if ending in endings or len(endings) < MAX_ENDINGS else OTHER_ENDINGS] += 1
        named = self.examples.setdefault(code, [])
        if len(named) < EXAMPLES:
            named.append(f"{source} ({reason})" if reason else source)

    @property
    def total(self) -> int:
        return self.count.total()

    def update(self, others: "Tally") -> None:
        """Adds the files of another tally."""
        self.count.update(others.count)
        for code, endings in others.endings.items():
            self.endings.setdefault(code, Counter()).update(endings)
        for code, sources in others.examples.items():
            self.examples[code] = [*self.examples.get(code, []), *sources][:EXAMPLES]

    def add_job(self, job: dict[str, Any]) -> None:
        self.add(job["error"]["code"], job["source"] or job["id"])


class ResultsFile:
    """A file with the results of a batch. It gets its name only when it is complete."""

    def __init__(self, path: Path) -> None:
        """Raises `CommandError` if the file can't be written, before any work is done for it."""
        self.path = path
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        try:
            if path.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            self._stream = self._unfinished.open("w", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"Can't write {path}: {error.strerror}.") from None

    def add(self, item: Unsent) -> None:
        """Writes a line of JSON for a file that does not become a job: the fields of a job, most of them null."""
        error = {"code": item.code, "message": item.message}
        fields = dict.fromkeys(_FIELDS) | {"status": item.status, "source": item.source, "error": error}
        self._stream.write(json.dumps(fields) + "\n")

    def write(self, lines: Iterable[str], least: int, most: int) -> Tally:
        """Writes one line of JSON for each job. Returns the failed ones.

        Raises `CommandError` and writes no file if there are fewer than `least` or more than `most` lines.
        """
        failures = Tally()
        written = 0
        for line in lines:
            self._stream.write(line + "\n")
            written += 1
            # Most jobs succeed, and parsing every line would be most of the work here.
            if '"failed"' in line and (job := json.loads(line))["status"] == "failed":
                failures.add_job(job)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        if not least <= written <= most:
            raise CommandError(f"The service sent {written} results, but the batch has {least}: try --resume.")
        self._unfinished.replace(self.path)
        return failures

    def discard(self) -> None:
        """Deletes an incomplete file."""
        self._stream.close()
        self._unfinished.unlink(missing_ok=True)
