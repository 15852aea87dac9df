"""`boxqueue ingest`: a folder of pictures through a model, as one batch."""

import json
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from cli.batch import Batch, is_over
from cli.client import ServiceClient
from cli.diagnosis import diagnose
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested, WrongUsage
from cli.local.stop_signals import stop_signals
from cli.options import EXAMPLE_ID, JsonOption, UrlOption, examples, service
from cli.pictures import NO_PICTURE, Unsent, files_below, may_be_picture, requests_of, require_folder
from cli.progress import PictureProgress
from cli.results_file import ResultsFile, Tally
from cli.summary import listed, show_summary
from cli.terminal import say

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
        typer.Option(
            metavar="FILE",
            help="Write a line of JSON for each file, once all jobs have finished: its job, or why it has none.",
        ),
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
        str | None,
        typer.Option(
            metavar="BATCH",
            help="Send nothing, and follow this batch to its end. It has no list of the files: --output gets its jobs.",
        ),
    ] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a folder of pictures through a model as one batch, follow it, and show its results.

    A file is a picture if its first bytes or its name say so (JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF); other files
    are skipped. Hidden files and folders, and those that systems make (.git, @eaDir, __MACOSX, Thumbs.db, …), are left
    out: they are counted, and have no line in --output. A picture that can't be read, that the service refuses or that
    it fails on has its code, and all others are sent. After a lost connection the command tries again; no picture
    becomes two jobs. After Ctrl-C the service continues with the pictures that it has.
    """
    started = time.monotonic()
    left_out = Counter[str]()
    results = ResultsFile(output) if output else None
    try:
        with (
            stop_signals(),
            service(url, PATIENCE_SECONDS, math.inf) as client,
            tempfile.TemporaryFile("w+", encoding="utf-8") as names,
        ):
            if resume:
                batch = Batch(client, resume)
                progress = PictureProgress(batch.progress()["total"], resume)
            elif folder and model:
                files = _list(folder, recursive, left_out, names)
                options = {"priority": str(priority), "cache": str(cache).lower()}
                if min_score is not None:
                    options["min_score"] = str(min_score)
                batch = _open(client, model, name, options, results.add if results else lambda _: None)
                progress = PictureProgress(files, name or folder.name or "pictures")
            else:
                raise WrongUsage("Name a folder and a --model, or a batch to --resume.")
            client.on_wait = progress.note
            try:
                with progress:
                    if folder and not resume:
                        _upload(batch, folder, map(json.loads, names), progress)
                    shown = _follow(client, batch, progress)
                failures = _read_back(batch, shown, results)
            except StopRequested:
                _say_how_to_continue(client.url, batch, "Interrupted.")
                raise typer.Exit(INTERRUPTED) from None
            except CommandError:
                _say_how_to_continue(client.url, batch, "Not finished.")
                raise
    finally:
        if results:
            results.discard()
    seconds = time.monotonic() - started
    show_summary(shown, failures, batch.skipped, left_out, seconds=seconds, results=output, as_json=as_json)
    complete = shown["status"] != "cancelled" and not shown["cancelled"]
    raise typer.Exit(0 if complete and not failures.count else SOME_FAILED)


def _list(folder: Path, recursive: bool, left_out: Counter[str], names: IO[str]) -> int:
    """Writes the paths of the files to look at into `names`, and returns their number. Raises `CommandError` if none is
    a picture."""
    require_folder(folder)
    # The folder is listed once, so that a file that vanishes later is reported. Its names are on disk, because they may
    # be more than memory has room for; as JSON, because a name may have a line break. A file is read only once, apart
    # from the first bytes of those in front of the first picture.
    files, others, has_picture = 0, Tally(), False
    for file in files_below(folder, recursive, left_out):
        files += 1
        names.write(json.dumps(file) + "\n")
        has_picture = has_picture or may_be_picture(Path(file))
        if not has_picture:
            others.add(NO_PICTURE, file)
    if not has_picture:
        found = f" among its {files} files ({listed(others.endings[NO_PICTURE])})" if files else ""
        raise CommandError(f"There are no pictures in {folder}{found}{'' if recursive else ' (try --recursive)'}.")
    names.seek(0)
    return files


def _open(
    client: ServiceClient,
    wanted: str,
    batch_name: str | None,
    options: dict[str, str],
    on_unsent: Callable[[Unsent], None],
) -> Batch:
    models = client.get("/v1/models")["models"]
    model = next((model for model in models if wanted in (model["name"], *model["aliases"])), None)
    if model is None:
        known = ", ".join(model["name"] for model in models) or "none"
        raise WrongUsage(f"There is no model named {wanted!r}. Known models: {known}.")
    if not model["available"]:
        say(f"No worker serves {model['name']} now: its pictures wait until one does.", "yellow")
    return Batch.open(client, batch_name, {"model": model["name"], **options}, on_unsent)


def _upload(batch: Batch, folder: Path, files: Iterator[str], progress: PictureProgress) -> None:
    """Sends the pictures. The workers run the first ones meanwhile."""
    polled = time.monotonic()
    sent = done = 0
    listed_files = progress.total
    for group in requests_of(folder, files):
        batch.send(group)
        sent += len(group)
        progress.total = listed_files - batch.skipped.total
        if time.monotonic() - polled > POLL_SECONDS:
            polled = time.monotonic()
            done = _done(batch.progress())
        progress.show(done + batch.refused.total, sent - batch.skipped.total)
    progress.total = sent - batch.skipped.total
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


def _read_back(batch: Batch, shown: dict[str, Any], results: ResultsFile | None) -> Tally:
    """Writes the results if a file was named. Returns everything that failed, here and in the service."""
    failures = batch.refused
    if results:
        answered = shown["succeeded"] + shown["failed"]
        failures.update(results.write(batch.results(), answered, answered + shown["cancelled"]))
    elif shown["failed"]:
        for job in batch.failed():
            failures.add_job(job)
    return failures


def _say_how_to_continue(url: str, batch: Batch, why: str) -> None:
    """Closes the batch, so that it finishes with the pictures it has, and names the commands to follow or cancel it."""
    accepted = "an unknown number of"
    try:
        with ServiceClient(url) as client:
            accepted = str(client.post(f"/v1/batches/{batch.id}/close")["total"])
    except CommandError:
        pass  # the service can't be reached, or the batch was cancelled: accepted pictures stay accepted
    say(f"{why} The service accepted {accepted} pictures in batch {batch.id} and continues with them.")
    if refused := batch.refused.total:
        say(f"Without a job: {refused} pictures ({listed(batch.refused.count)}), of which --resume does not know.")
    say(f"  follow it:  boxqueue ingest --resume {batch.id}")
    say(f"  cancel it:  boxqueue batches {batch.id} --cancel")
