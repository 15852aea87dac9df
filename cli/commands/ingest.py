"""`boxqueue ingest`: a folder of pictures through a model, as one batch."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.batch import Batch, Failures, ResultsFile, is_over
from cli.client import ServiceClient
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested, WrongUsage
from cli.local.stop_signals import stop_signals
from cli.pictures import picture_files, requests_of, require_folder
from cli.progress import PictureProgress
from cli.target import service
from cli.terminal import output, print_json, say
from cli.troubles import troubles

# Lost connections are tried again for this long: a service that is restarted is back sooner.
PATIENCE_SECONDS = 300
LOOK_SECONDS = 1.0
# When nothing has moved for so long, it is asked why.
STILL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Ingest:
    """What was asked for."""

    folder: Path | None
    model: str | None
    recursive: bool
    name: str | None
    results: Path | None
    priority: int
    min_score: float | None
    cache: bool
    resume: str | None
    url: str | None
    as_json: bool


def ingest(asked: Ingest) -> int:
    """Returns the exit code."""
    started = time.monotonic()
    results = ResultsFile(asked.results) if asked.results else None
    try:
        with stop_signals(), service(asked.url, PATIENCE_SECONDS, math.inf) as client:
            if asked.resume:
                batch, skipped = Batch(client, asked.resume), 0
                progress = PictureProgress(batch.progress()["total"], asked.resume)
                files: Iterator[str] = iter(())
            else:
                folder, files, pictures, skipped = _selection(asked)
                batch = _open(client, asked)
                progress = PictureProgress(pictures, asked.name or folder.name or "pictures")
            client.on_wait = progress.note
            try:
                with progress:
                    if asked.folder:
                        _upload(batch, asked.folder, files, progress)
                    shown = _follow(client, batch, progress)
                failures = _read_back(batch, shown, results)
            except StopRequested:
                _tell_how_to_go_on(client.url, batch.id, "Interrupted.")
                return INTERRUPTED
            except CommandError:
                _tell_how_to_go_on(client.url, batch.id, "Not finished.")
                raise
    finally:
        if results:
            results.discard()
    _summary(asked, batch.id, shown, failures, skipped, time.monotonic() - started)
    complete = shown["status"] != "cancelled" and not shown["cancelled"]
    return 0 if complete and not failures.count else SOME_FAILED


def _selection(asked: Ingest) -> tuple[Path, Iterator[str], int, int]:
    """The folder, its pictures, their number, and the number of files that are none."""
    if asked.folder is None or asked.model is None:
        raise WrongUsage("Name a folder and a --model, or a batch to --resume.")
    require_folder(asked.folder)
    # Looked through twice rather than kept: the count is for the progress bar, and names can be many.
    pictures = others = 0
    for file in picture_files(asked.folder, asked.recursive):
        pictures += file is not None
        others += file is None
    if pictures == 0:
        raise CommandError(f"There are no pictures in {asked.folder}{'' if asked.recursive else ' (try --recursive)'}.")
    files = (file for file in picture_files(asked.folder, asked.recursive) if file is not None)
    return asked.folder, files, pictures, others


def _open(client: ServiceClient, asked: Ingest) -> Batch:
    models = client.get("/v1/models")["models"]
    model = next((model for model in models if asked.model in (model["name"], *model["aliases"])), None)
    if model is None:
        known = ", ".join(model["name"] for model in models) or "none"
        raise WrongUsage(f"There is no model named {asked.model!r}. Known models: {known}.")
    if not model["available"]:
        say(f"No worker serves {model['name']} now: its pictures wait until one does.", "yellow")
    options = {"model": model["name"], "priority": str(asked.priority), "cache": str(asked.cache).lower()}
    if asked.min_score is not None:
        options["min_score"] = str(asked.min_score)
    return Batch.open(client, asked.name, options)


def _upload(batch: Batch, folder: Path, files: Iterator[str], progress: PictureProgress) -> None:
    """The workers are at the first pictures while the next are sent."""
    looked = time.monotonic()
    sent = done = 0
    for group in requests_of(folder, files):
        batch.send(group)
        sent += len(group)
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            done = _done(batch.progress())
        progress.show(done + batch.refused.total, sent)
    progress.total = sent  # files may have come or gone since they were counted
    batch.close()


def _follow(client: ServiceClient, batch: Batch, progress: PictureProgress) -> dict[str, Any]:
    """Waits until nothing of the batch is still to come; the batch as last seen."""
    pause = 0.1
    done, moved = 0, time.monotonic()
    while True:
        shown = batch.progress()
        before, done = done, _done(shown)
        progress.show(done + batch.refused.total, progress.total)
        if is_over(shown):
            return shown
        if done > before:
            moved = time.monotonic()
        elif time.monotonic() - moved > STILL_SECONDS:
            moved = time.monotonic()
            queues = client.get("/v1/queues")["queues"]
            if why := [sentence for queue in queues if queue["queued"] for sentence in troubles(queue)]:
                progress.note(" ".join(why))
        time.sleep(pause)
        pause = min(pause * 1.5, LOOK_SECONDS)


def _done(shown: dict[str, Any]) -> int:
    return int(shown["total"] - shown["pending"])


def _read_back(batch: Batch, shown: dict[str, Any], results: ResultsFile | None) -> Failures:
    """Everything that failed, on either side; writes the results where a file was named."""
    failures = batch.refused
    if results:
        answered = shown["succeeded"] + shown["failed"]
        failures.update(results.write(batch.results(), answered, answered + shown["cancelled"]))
    elif shown["failed"]:
        for job in batch.failed():
            failures.add_job(job)
    return failures


def _tell_how_to_go_on(url: str, batch_id: str, why: str) -> None:
    """Closes the batch, so that it finishes with what it has, and names the commands for it."""
    accepted = "an unknown number of"
    try:
        with ServiceClient(url) as client:
            accepted = str(client.post(f"/v1/batches/{batch_id}/close")["total"])
    except CommandError:
        pass  # out of reach, or cancelled meanwhile: what was accepted stays accepted
    say(f"{why} Batch {batch_id} holds the {accepted} pictures that were accepted, and the service goes on with them.")
    say(f"  follow it:  boxqueue ingest --resume {batch_id}")
    say(f"  cancel it:  boxqueue batches {batch_id} --cancel")


def _summary(
    asked: Ingest, batch_id: str, shown: dict[str, Any], failures: Failures, skipped: int, seconds: float
) -> None:
    answered = shown["succeeded"] + shown["failed"]
    facts = {
        "batch": batch_id,
        "status": shown["status"],
        "succeeded": shown["succeeded"],
        "failed": failures.total,
        "cancelled": shown["cancelled"],
        "skipped": skipped,
        "seconds": round(seconds, 1),
        "pictures_per_s": round(answered / seconds, 1) if seconds else None,
        "results": str(asked.results) if asked.results else None,
    }
    if asked.as_json:
        print_json({**facts, "failures": dict(failures.count), "examples": failures.examples})
        return
    table = Table(show_header=False, box=None)
    for name in ("succeeded", "failed"):
        table.add_row(name, str(facts[name]))
    for code, count in failures.count.most_common():
        named = failures.examples[code]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        table.add_row(Text(f"  {code}"), Text(f"{count}: {', '.join(named)}{more}"))
    for name in ("cancelled", "skipped"):
        if facts[name]:
            table.add_row(name, str(facts[name]) + (" (no pictures by their names)" if name == "skipped" else ""))
    table.add_row("seconds", str(facts["seconds"]))
    table.add_row("pictures/s", str(facts["pictures_per_s"]))
    table.add_row("batch", batch_id)
    if asked.results:
        table.add_row("results", Text(str(asked.results)))
    output().print(table)
    if shown["status"] == "open":
        say(f"The batch is still open: `boxqueue batches {batch_id} --close` ends it.")
