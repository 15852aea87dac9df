"""`boxqueue demo`: starts a service, sends pictures through every model, draws the boxes and deletes the service."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli import terminal
from cli.address import free_port
from cli.batch import Batch, is_over
from cli.client import ServiceClient
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested
from cli.local.data_folder import MIN_FREE_MB_TO_START, require_room
from cli.local.service import LocalService, local_service
from cli.local.stop_signals import stop_signals
from cli.options import examples, load_settings
from cli.pictures import Unsent, files_below, may_be_picture, requests_of, require_folder
from cli.progress import PictureProgress
from cli.results import Result, result_of_unsent, results_of, table_of, write_annotated
from cli.terminal import say, working
from jobs.settings import PREFIX, ROOT, Settings

SAMPLES = ROOT / "samples"
PATIENCE_SECONDS = 30
# Longer than loading the models and the slowest picture take.
STALLED_SECONDS = 180
# Short, because the demo needs nothing more of its service.
STOP_SECONDS = 5
app = typer.Typer()


@app.command(epilog=examples("boxqueue demo", "boxqueue demo --pictures ~/scans --output boxes"))
def demo(
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Your own pictures. Default: the project's samples.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to write the pictures with their boxes.")
    ] = Path("demo-output"),
    min_score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Show detections with at least this score. Default: each model's own."),
    ] = None,
) -> None:
    """Show it working: start a service on a free port, send the samples through every model, print and draw the boxes.

    At the end, everything that it started is stopped and its data is deleted.
    """
    folder = pictures or SAMPLES
    require_folder(folder)
    files = [file for file in files_below(folder, recursive=True) if may_be_picture(Path(file))]
    if not files:
        raise CommandError(f"There are no pictures in {folder}.")
    _require_writable(output)
    try:
        with stop_signals() as requests, _temporary_settings() as settings:
            with local_service(settings, requests, _environment(settings), STOP_SECONDS) as service:
                with working("Starting the service: Redis, API and workers …"):
                    service.wait_until_ready()
                with ServiceClient(service.url, PATIENCE_SECONDS, PATIENCE_SECONDS) as client:
                    results = _detect(service, client, folder, files, min_score)
                    results = write_annotated(client, results, output)
    except StopRequested:
        say("Interrupted: everything that the demo started has been stopped.")
        raise typer.Exit(INTERRUPTED) from None
    terminal.output().print(table_of(results))
    failed = sum(bool(answer.error) for answer in results)
    not_drawn = sum(bool(answer.not_drawn) for answer in results)
    say(
        f"The pictures with their boxes are in {output}/."
        + (f" {failed} failed." if failed else "")
        + (f" {not_drawn} could not be drawn." if not_drawn else "")
    )
    raise typer.Exit(SOME_FAILED if failed or not_drawn else 0)


def _detect(
    service: LocalService, client: ServiceClient, folder: Path, files: list[str], min_score: float | None
) -> list[Result]:
    """Sends every picture through every model that the service offers, one batch for each model."""
    models = [model["name"] for model in client.get("/v1/models")["models"] if model["available"]]
    if not models:
        raise CommandError("The service offers no model: none of those in the catalogue has its runtime here.")
    results = []
    with PictureProgress(len(files) * len(models), "demo") as progress:
        client.on_wait = progress.note
        options = {} if min_score is None else {"min_score": str(min_score)}
        unsent: list[tuple[str, Unsent]] = []
        batches = [
            Batch.open(
                client,
                f"demo of {model}",
                {"model": model, **options},
                lambda item, m=model: unsent.append((m, item)),  # type: ignore[misc]
            )
            for model in models
        ]
        for batch in batches:
            for group in requests_of(folder, files):
                batch.send(group)
            batch.close()
        _follow(service, batches, progress)
    for batch in batches:
        results += results_of(batch.results())
    results += [result_of_unsent(item, model) for model, item in unsent]
    return sorted(results, key=lambda answer: (answer.source, answer.model))


def _follow(service: LocalService, batches: list[Batch], progress: PictureProgress) -> None:
    done, moved = 0, time.monotonic()
    while True:
        states = [batch.progress() for batch in batches]
        before, done = done, sum(shown["total"] - shown["pending"] for shown in states)
        progress.show(done, progress.total)
        if all(is_over(shown) for shown in states):
            return
        service.require_working()
        if done > before:
            moved = time.monotonic()
        elif time.monotonic() - moved > STALLED_SECONDS:
            raise service.error_with_logs(f"No picture was finished for {STALLED_SECONDS} s.")
        time.sleep(0.2)


@contextmanager
def _temporary_settings() -> Iterator[Settings]:
    """The settings of the environment, but with the demo's own data folder, database, Redis and image store, and a free
    port if none was set."""
    base = load_settings()
    port = base.port if "port" in base.model_fields_set else free_port(base.host)
    data = Path(tempfile.mkdtemp(prefix="boxqueue-demo-"))
    try:
        own = {"data": data, "port": port, "database_url": "", "redis_url": "", "store_url": ""}
        yield Settings(**{**{name: getattr(base, name) for name in base.model_fields_set}, **own})
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _environment(settings: Settings) -> dict[str, str]:
    """Variables that make a child process load the same settings, and put its temporary files into the data folder."""
    own = ("data", "port", "database_url", "redis_url", "store_url")
    scratch = settings.data / "tmp"
    scratch.mkdir()
    return {f"{PREFIX}{name.upper()}": str(getattr(settings, name)) for name in own} | {"TMPDIR": str(scratch)}


def _require_writable(destination: Path) -> None:
    try:
        destination.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=destination).close()
    except OSError as error:
        raise CommandError(f"Can't write to {destination}: {error.strerror}.") from None
    require_room(destination, MIN_FREE_MB_TO_START)
