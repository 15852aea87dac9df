"""The results of a demo: a table, and the pictures with their boxes drawn."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.client import ServiceClient
from cli.errors import CommandError
from cli.pictures import Unsent

# A row of the table has room for this many labels.
MAX_LABELS = 3
# The types in which the service draws, and the endings of their files.
ENDINGS = {"image/png": (".png",), "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "image/webp": (".webp",)}


@dataclass(frozen=True, slots=True)
class Result:
    """One picture through one model. `milliseconds`: decoding and the model, without waiting in the queue.
    `not_drawn`: why there is no picture with its boxes."""

    source: str
    model: str
    boxes: int
    best: str
    milliseconds: float | None
    error: str
    annotated: str | None
    not_drawn: str = ""


def result_of(job: dict[str, Any]) -> Result:
    """The result of a finished job."""
    found = job["detections"] or []  # None if it did not succeed
    timings = job["timings_ms"] or {}
    spent = [timings[part] for part in ("decode", "inference") if timings.get(part) is not None]
    error = job["error"]
    return Result(
        source=job["source"] or job["id"],
        model=job["model"],
        boxes=len(found),
        best=best_labels(found),
        milliseconds=sum(spent) if spent else None,
        error=f"{error['code']}: {error['message']}" if error else "cancelled" if job["status"] == "cancelled" else "",
        annotated=job["links"].get("annotated") if job["status"] == "succeeded" else None,
    )


def result_of_unsent(item: Unsent, model: str) -> Result:
    """The result of a file that did not become a job."""
    return Result(item.source, model, 0, "", None, f"{item.code}: {item.message}", None)


def best_labels(detections: list[dict[str, Any]]) -> str:
    """Each label once, with its best score and its count, the highest score first."""
    found: dict[str, list[float]] = {}
    for detection in detections:  # sorted by score
        found.setdefault(detection["label"], []).append(detection["score"])
    named = [
        f"{label} {scores[0]:.2f}" + (f" ×{len(scores)}" if len(scores) > 1 else "") for label, scores in found.items()
    ]
    return ", ".join(named[:MAX_LABELS])


def results_of(lines: Iterable[str]) -> list[Result]:
    """The results of a batch, one line of JSON each, sorted by picture and model."""
    return sorted((result_of(json.loads(line)) for line in lines), key=lambda result: (result.source, result.model))


def table_of(results: Iterable[Result]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("picture", "model"):
        table.add_column(heading, overflow="fold")
    table.add_column("boxes", justify="right")
    table.add_column("best labels")
    table.add_column("ms", justify="right")
    for result in results:
        milliseconds = "" if result.milliseconds is None else f"{result.milliseconds:.0f}"
        labels = Text(result.error, "red") if result.error else Text(result.best)
        if result.not_drawn:
            labels.append(f" (not drawn: {result.not_drawn})", "red")
        boxes = "–" if result.error else str(result.boxes)
        table.add_row(Text(result.source), Text(result.model), boxes, labels, milliseconds)
    return table


def write_annotated(client: ServiceClient, results: Iterable[Result], destination: Path) -> list[Result]:
    """Writes destination/<model>/<picture>; with a further suffix if the service returns another format (a.bmp.png).

    Returns the results. Those whose picture can't be drawn or written say why.
    """
    written: set[Path] = set()
    return [_write_annotated(client, result, destination, written) for result in results]


def _write_annotated(client: ServiceClient, result: Result, destination: Path, written: set[Path]) -> Result:
    if result.annotated is None:
        return result
    path = destination / result.model / _below(result.source)
    try:
        content, media_type = client.download(result.annotated)
        endings = ENDINGS.get(media_type, (".image",))
        while path.suffix.lower() not in endings or path in written:
            path = path.with_name(path.name + endings[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except CommandError as refusal:
        return replace(result, not_drawn=str(refusal))
    except OSError as error:
        return replace(result, not_drawn=f"Can't write {path}: {error.strerror}.")
    written.add(path)
    return result


def _below(source: str) -> Path:
    """A source as a relative path without `..`, so that it stays below the destination."""
    return Path(*(part for part in PurePosixPath(source).parts if part not in ("/", "..")))
