"""A run, from the start of the service to the verdict."""

import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jobs.tables import new_id
from tests.chaos.breaking.faults import Faults
from tests.chaos.breaking.schedule import Step, make_schedule
from tests.chaos.checker import Finding, check
from tests.chaos.client import Client, Submitters
from tests.chaos.conductor import Conductor, Record
from tests.chaos.ledger import Ledger
from tests.chaos.plan import plan_requests
from tests.chaos.report import print_report, verdict, write_report
from tests.chaos.service import Service

REFRESH_SECONDS = 1.0


@dataclass(frozen=True)
class Options:
    """The options of `python -m tests.chaos run`, which its `--help` explains."""

    jobs: int
    kills: int
    redis_restarts: int
    database_restarts: int
    seed: int
    database: str
    settings: dict[str, str]
    poison: bool
    picture_seconds: float
    only: str
    sabotage: str | None
    url: str | None
    database_url: str | None
    model: str
    patience_s: float
    recovery_s: float
    folder: Path | None
    report: Path


def run_chaos(options: Options, console: Console) -> int:
    """Runs and reports. Returns the exit code: 0 if every promise was kept, 1 if not, 130 after Ctrl-C."""
    # SIGTERM ends a run like Ctrl-C, so that no process stays behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="boxqueue-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with _service(options, folder, console) as service:
            started = time.monotonic()
            finding, records = _feed_and_break(options, service, folder, console)
            about = _about(options, service, folder, round(time.monotonic() - started, 1))
            wrong = verdict(finding, records, options.recovery_s)
            write_report(options.report, finding, records, about, wrong)
            print_report(console, finding, records, about, wrong)
    except KeyboardInterrupt:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
        console.print("Stopped. All processes of the run are ended.", style="yellow")
        return 130
    if options.folder is None and not wrong:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if wrong else 0


@contextmanager
def _service(options: Options, folder: Path, console: Console) -> Iterator[Service | None]:
    """Starts a service for the run and yields it when it is ready. Yields None with `--url`."""
    if options.url:
        yield None
        return
    service = Service(
        folder, options.database, options.settings, picture_seconds=options.picture_seconds, sabotage=options.sabotage
    )
    try:
        with console.status(f"Starting the service in {folder} …"):
            service.start()
        yield service
    finally:
        with console.status("Stopping the service …"):
            service.stop()


def _feed_and_break(
    options: Options, service: Service | None, folder: Path, console: Console
) -> tuple[Finding, list[Record]]:
    run = new_id()
    url = service.url if service else options.url or ""
    ledger = Ledger(folder / "ledger.jsonl", run)
    stopping = threading.Event()

    def make_client() -> Client:
        return Client(url, ledger, stopping, options.model, answers_known=service is not None)

    requests = plan_requests(run, options.jobs, options.seed, poison=options.poison and service is not None)
    submitters = Submitters(make_client, requests)
    client = make_client()
    schedule = _schedule(options, service) if service else []
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        faults = progress.add_task("faults", total=len(schedule), note="")
        accepted = progress.add_task("accepted", total=options.jobs, note="")

        def report(record: Record) -> None:
            recovery = "no recovery" if record.recovery_s is None else f"recovered in {record.recovery_s:.1f} s"
            progress.console.print(
                f"{record.applied_s:7.1f} s  {record.fault:<20} {record.victim:<22} {recovery}", highlight=False
            )
            progress.update(faults, advance=1)

        def refresh() -> None:
            watcher = make_client()
            while not stopping.wait(REFRESH_SECONDS):
                load = watcher.load()
                note = "service does not answer" if load is None else f"{sum(load):,} open"
                progress.update(accepted, completed=ledger.accepted, note=note)
            watcher.close()

        watching = threading.Thread(target=refresh, daemon=True)
        watching.start()
        conductor = Conductor(submitters, client, run, options.jobs, stopping, report)
        try:
            conductor.conduct(schedule)
            submitters.finish()
            finding = check(
                url,
                ledger.path,
                service.database_url if service else options.database_url,
                patience_s=options.patience_s,
            )
        finally:
            stopping.set()
            submitters.allow(options.jobs + 1)
            watching.join()
        progress.update(accepted, completed=ledger.accepted)
    client.close()
    ledger.close()
    return finding, conductor.records


def _schedule(options: Options, service: Service) -> list[Step]:

    return make_schedule(
        Faults(service, random.Random(f"{options.seed} victims")),
        options.seed,
        kills=options.kills,
        redis_restarts=options.redis_restarts,
        database_restarts=options.database_restarts,
        postgresql=service.postgres is not None,
        disk=service.disk.own_file_system,
        only=options.only,
    )


def _about(options: Options, service: Service | None, folder: Path, seconds: float) -> dict[str, Any]:
    about: dict[str, Any] = {"seconds": seconds, "seed": options.seed, "folder": str(folder)}
    if service:
        about["database"] = options.database
        about["settings"] = (
            ", ".join(f"{name.upper()}={value}" for name, value in options.settings.items()) or "default"
        )
        if not service.disk.own_file_system:
            about["left_out"] = "disk full: no tmpfs could be mounted here"
    else:
        about["url"] = options.url
    if options.sabotage:
        about["sabotage"] = options.sabotage
    return about
