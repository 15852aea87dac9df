"""What came back for each picture of a demo: the table, and the pictures with their boxes drawn."""

import json
import mimetypes
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.client import ServiceClient
from cli.errors import CommandError

# The labels that a row of the table has room for.
BEST = 3


@dataclass(frozen=True, slots=True)
class Answer:
    """One picture through one model. `milliseconds` are those of decoding and of the model, without the waiting."""

    source: str
    model: str
    boxes: int
    best: str
    milliseconds: float | None
    error: str
    annotated: str | None


def answer_of(job: dict[str, Any]) -> Answer:
    """From a finished job."""
    found = job["detections"] or []  # None until it succeeded
    timings = job["timings_ms"] or {}
    spent = [timings[part] for part in ("decode", "inference") if timings.get(part) is not None]
    error = job["error"]
    return Answer(
        source=job["source"] or job["id"],
        model=job["model"],
        boxes=len(found),
        best=best_labels(found),
        milliseconds=sum(spent) if spent else None,
        error=f"{error['code']}: {error['message']}" if error else "cancelled" if job["status"] == "cancelled" else "",
        annotated=job["links"].get("annotated") if job["status"] == "succeeded" else None,
    )


def best_labels(detections: list[dict[str, Any]]) -> str:
    """Each label once, with its best score and how often it was found, the surest first."""
    found: dict[str, list[float]] = {}
    for detection in detections:  # sorted by score
        found.setdefault(detection["label"], []).append(detection["score"])
    named = [
        f"{label} {scores[0]:.2f}" + (f" ×{len(scores)}" if len(scores) > 1 else "") for label, scores in found.items()
    ]
    return ", ".join(named[:BEST])


def answers_of(lines: Iterable[str]) -> list[Answer]:
    """From the results of a batch, in the order of the pictures' names."""
    return sorted((answer_of(json.loads(line)) for line in lines), key=lambda answer: (answer.source, answer.model))


def table_of(answers: Iterable[Answer]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("picture", "model"):
        table.add_column(heading, overflow="fold")
    table.add_column("boxes", justify="right")
    table.add_column("best labels")
    table.add_column("ms", justify="right")
    for answer in answers:
        milliseconds = "" if answer.milliseconds is None else f"{answer.milliseconds:.0f}"
        said = Text(answer.error, "red") if answer.error else Text(answer.best)
        boxes = "–" if answer.error else str(answer.boxes)
        table.add_row(Text(answer.source), Text(answer.model), boxes, said, milliseconds)
    return table


def write_annotated(client: ServiceClient, answers: Iterable[Answer], destination: Path) -> None:
    """destination/<model>/<picture>. Pictures of formats that are answered as PNG get that suffix besides."""
    for answer in answers:
        if answer.annotated is None:
            continue
        content, media_type = client.download(answer.annotated)
        path = destination / answer.model / _below(answer.source)
        if mimetypes.guess_type(path.name)[0] != media_type:
            path = path.with_name(path.name + (mimetypes.guess_extension(media_type) or ""))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            raise CommandError(f"Can't write {path}: {error.strerror}.") from None


def _below(source: str) -> Path:
    """A source as a path that stays below a folder, whatever it says."""
    return Path(*(part for part in PurePosixPath(source).parts if part not in ("/", "..")))
