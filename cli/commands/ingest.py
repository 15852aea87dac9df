"""`boxqueue ingest`: a folder of pictures through a model, as one batch."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli import terminal
from cli.batch import Batch, Failures, ResultsFile, is_over
from cli.client import ServiceClient
from cli.diagnosis import diagnose
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested, WrongUsage
from cli.local.stop_signals import stop_signals
from cli.options import EXAMPLE_ID, JsonOption, UrlOption, examples, service
from cli.pictures import picture_files, requests_of, require_folder
from cli.progress import PictureProgress
from cli.terminal import print_json, say

# Requests are repeated for this long after a lost connection: a service that restarts is back sooner.
PATIENCE_SECONDS = 300
POLL_SECONDS = 1.0
# If nothing has moved for this long, the command asks the service for the reason.
STALLED_SECONDS = 10.0
app = typer.Typer()


@app.command(
    epilog=examples(
        "boxqueue ingest scans --model cards-pytorch --recursive --output results.jsonl",
        f"boxqueue ingest --resume {EXAMPLE_ID} --output results.jsonl",
    )
)
def ingest(
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="The folder with the pictures.")] = None,
    model: Annotated[str | None, typer.Option(help="The model; `boxqueue models` lists them.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Include the folders below it.")] = False,
    name: Annotated[str | None, typer.Option("--batch", metavar="NAME", help="A name for the batch.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write each finished job as a line of JSON, once all have finished."),
    ] = None,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Higher goes first; the default lets single pictures pass.")
    ] = -10,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out detections below this score.")
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Use stored results of the same picture and model.")
    ] = True,
    resume: Annotated[
        str | None, typer.Option(metavar="BATCH", help="Send nothing, and follow this batch to its end.")
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a folder of pictures through a model as one batch, follow it, and show its results.

    Pictures are files named .jpg .jpeg .png .webp .bmp .gif .tif .tiff. Files that can't be read are named and counted.
    After a lost connection the command tries again; no picture becomes two jobs. After Ctrl-C the service continues
    with the pictures that it has.
    """
    started = time.monotonic()
    results = ResultsFile(output) if output else None
    try:
        with stop_signals(), service(url, PATIENCE_SECONDS, math.inf) as client:
            if resume:
                batch, skipped = Batch(client, resume), 0
                progress = PictureProgress(batch.progress()["total"], resume)
                files: Iterator[str] = iter(())
            elif folder and model:
                files, pictures, skipped = _selection(folder, recursive)
                options = {"priority": str(priority), "cache": str(cache).lower()}
                if min_score is not None:
                    options["min_score"] = str(min_score)
                batch = _open(client, model, name, options)
                progress = PictureProgress(pictures, name or folder.name or "pictures")
            else:
                raise WrongUsage("Name a folder and a --model, or a batch to --resume.")
            client.on_wait = progress.note
            try:
                with progress:
                    if folder:
                        _upload(batch, folder, files, progress)
                    shown = _follow(client, batch, progress)
                failures = _read_back(batch, shown, results)
            except StopRequested:
                _say_how_to_continue(client.url, batch.id, "Interrupted.")
                raise typer.Exit(INTERRUPTED) from None
            except CommandError:
                _say_how_to_continue(client.url, batch.id, "Not finished.")
                raise
    finally:
        if results:
            results.discard()
    seconds = time.monotonic() - started
    _show_summary(shown, failures, skipped=skipped, seconds=seconds, results=output, as_json=as_json)
    complete = shown["status"] != "cancelled" and not shown["cancelled"]
    raise typer.Exit(0 if complete and not failures.count else SOME_FAILED)


def _selection(folder: Path, recursive: bool) -> tuple[Iterator[str], int, int]:
    """The pictures of the folder, their number, and the number of other files."""
    require_folder(folder)
    # Lists the folder twice, for the count and for the names: it may have more names than memory has room for.
    pictures = others = 0
    for file in picture_files(folder, recursive):
        pictures += file is not None
        others += file is None
    if pictures == 0:
        raise CommandError(f"There are no pictures in {folder}{'' if recursive else ' (try --recursive)'}.")
    return (file for file in picture_files(folder, recursive) if file is not None), pictures, others


def _open(client: ServiceClient, wanted: str, batch_name: str | None, options: dict[str, str]) -> Batch:
    models = client.get("/v1/models")["models"]
    model = next((model for model in models if wanted in (model["name"], *model["aliases"])), None)
    if model is None:
        known = ", ".join(model["name"] for model in models) or "none"
        raise WrongUsage(f"There is no model named {wanted!r}. Known models: {known}.")
    if not model["available"]:
        say(f"No worker serves {model['name']} now: its pictures wait until one does.", "yellow")
    return Batch.open(client, batch_name, {"model": model["name"], **options})


def _upload(batch: Batch, folder: Path, files: Iterator[str], progress: PictureProgress) -> None:
    """Sends the pictures. The workers run the first ones meanwhile."""
    polled = time.monotonic()
    sent = done = 0
    for group in requests_of(folder, files):
        batch.send(group)
        sent += len(group)
        if time.monotonic() - polled > POLL_SECONDS:
            polled = time.monotonic()
            done = _done(batch.progress())
        progress.show(done + batch.refused.total, sent)
    progress.total = sent  # files may have come or gone since they were counted
    batch.close()


def _follow(client: ServiceClient, batch: Batch, progress: PictureProgress) -> dict[str, Any]:
    """Waits until no job of the batch is pending. Returns the batch as the service shows it at the end."""
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
        elif time.monotonic() - moved > STALLED_SECONDS:
            moved = time.monotonic()
            queues = client.get("/v1/queues")["queues"]
            if reasons := [sentence for queue in queues if queue["queued"] for sentence in diagnose(queue)]:
                progress.note(" ".join(reasons))
        time.sleep(pause)
        pause = min(pause * 1.5, POLL_SECONDS)


def _done(shown: dict[str, Any]) -> int:
    return int(shown["total"] - shown["pending"])


def _read_back(batch: Batch, shown: dict[str, Any], results: ResultsFile | None) -> Failures:
    """Writes the results if a file was named. Returns everything that failed, here and in the service."""
    failures = batch.refused
    if results:
        answered = shown["succeeded"] + shown["failed"]
        failures.update(results.write(batch.results(), answered, answered + shown["cancelled"]))
    elif shown["failed"]:
        for job in batch.failed():
            failures.add_job(job)
    return failures


def _show_summary(
    shown: dict[str, Any], failures: Failures, *, skipped: int, seconds: float, results: Path | None, as_json: bool
) -> None:
    """`shown`: the batch as the service shows it. `skipped`: the files whose names are not those of pictures."""
    answered = shown["succeeded"] + shown["failed"]
    facts = {
        "batch": shown["id"],
        "status": shown["status"],
        "succeeded": shown["succeeded"],
        "failed": failures.total,
        "cancelled": shown["cancelled"],
        "skipped": skipped,
        "seconds": round(seconds, 1),
        "pictures_per_s": round(answered / seconds, 1) if seconds else None,
        "results": str(results) if results else None,
    }
    if as_json:
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
    table.add_row("batch", shown["id"])
    if results:
        table.add_row("results", Text(str(results)))
    terminal.output().print(table)
    if shown["status"] == "open":
        say(f"The batch is still open: `boxqueue batches {shown['id']} --close` ends it.")


def _say_how_to_continue(url: str, batch_id: str, why: str) -> None:
    """Closes the batch, so that it finishes with the pictures it has, and names the commands to follow or cancel it."""
    accepted = "an unknown number of"
    try:
        with ServiceClient(url) as client:
            accepted = str(client.post(f"/v1/batches/{batch_id}/close")["total"])
    except CommandError:
        pass  # the service can't be reached, or the batch was cancelled: accepted pictures stay accepted
    say(f"{why} The service accepted {accepted} pictures in batch {batch_id} and continues with them.")
    say(f"  follow it:  boxqueue ingest --resume {batch_id}")
    say(f"  cancel it:  boxqueue batches {batch_id} --cancel")
