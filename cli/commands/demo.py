"""`boxqueue demo`: a service of its own, pictures through every model, boxes drawn, all gone afterwards."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.address import free_port
from cli.answers import Answer, answers_of, table_of, write_annotated
from cli.batch import Batch, is_over
from cli.client import ServiceClient
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested
from cli.local.data_folder import LEAST_FREE_MB, require_room
from cli.local.service import LocalService, local_service
from cli.local.stop_signals import stop_signals
from cli.pictures import picture_files, requests_of, require_folder
from cli.progress import PictureProgress
from cli.target import load_settings
from cli.terminal import output, say, working
from jobs.settings import PREFIX, ROOT, Settings

SAMPLES = ROOT / "samples"
PATIENCE_SECONDS = 30
# Longer than models take to load and the slowest picture may take.
STALLED_SECONDS = 180
# What a demo's service still does after its answers are there is worth no longer wait.
STOP_SECONDS = 5


def demo(pictures: Path | None, destination: Path, min_score: float | None) -> int:
    """Returns the exit code: 1 where a picture failed, which the table then shows."""
    folder = pictures or SAMPLES
    require_folder(folder)
    files = [file for file in picture_files(folder, recursive=True) if file is not None]
    if not files:
        raise CommandError(f"There are no pictures in {folder}.")
    _require_writable(destination)
    try:
        with stop_signals() as requests, _temporary_settings() as settings:
            with local_service(settings, requests, _environment(settings), STOP_SECONDS) as service:
                with working("Starting the service: Redis, API and workers …"):
                    service.wait_until_ready()
                with ServiceClient(service.url, PATIENCE_SECONDS, PATIENCE_SECONDS) as client:
                    answers = _detect(service, client, folder, files, min_score)
                    write_annotated(client, answers, destination)
    except StopRequested:
        say("Interrupted: everything that the demo started is stopped.")
        return INTERRUPTED
    output().print(table_of(answers))
    failed = sum(bool(answer.error) for answer in answers)
    say(f"The pictures with their boxes are in {destination}/." + (f" {failed} failed." if failed else ""))
    return SOME_FAILED if failed else 0


def _detect(
    service: LocalService, client: ServiceClient, folder: Path, files: list[str], min_score: float | None
) -> list[Answer]:
    """Every picture through every model that the service offers, a batch for each model."""
    models = [model["name"] for model in client.get("/v1/models")["models"] if model["available"]]
    if not models:
        raise CommandError("The service offers no model: none of those in the catalogue has its runtime here.")
    answers = []
    with PictureProgress(len(files) * len(models), "demo") as progress:
        client.on_wait = progress.note
        shown = {} if min_score is None else {"min_score": str(min_score)}
        batches = [Batch.open(client, f"demo of {model}", {"model": model, **shown}) for model in models]
        for batch in batches:
            for group in requests_of(folder, files):
                batch.send(group)
            batch.close()
        _follow(service, batches, progress)
    for model, batch in zip(models, batches, strict=True):
        answers += answers_of(batch.results())
        for code, sources in batch.refused.examples.items():
            answers += [Answer(source, model, 0, "", None, code, None) for source in sources]
    return sorted(answers, key=lambda answer: (answer.source, answer.model))


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
            raise service.stuck(f"No picture was answered for {STALLED_SECONDS} s.")
        time.sleep(0.2)


@contextmanager
def _temporary_settings() -> Iterator[Settings]:
    """Those of the environment, but with a data folder, a database, a Redis and a store of the demo's own, and a free
    port where none was named."""
    given = load_settings()
    port = given.port if "port" in given.model_fields_set else free_port(given.host)
    data = Path(tempfile.mkdtemp(prefix="boxqueue-demo-"))
    try:
        own = {"data": data, "port": port, "database_url": "", "redis_url": "", "store_url": ""}
        yield Settings(**{**{name: getattr(given, name) for name in given.model_fields_set}, **own})
    finally:
        shutil.rmtree(data, ignore_errors=True)


def _environment(settings: Settings) -> dict[str, str]:
    """What makes another process load the same, and put what it leaves lying about where it goes with the rest."""
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
    require_room(destination, LEAST_FREE_MB)
