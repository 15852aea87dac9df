"""`boxqueue up`: the whole service in the foreground; and `boxqueue sweep`."""

import subprocess
import sys
import time

import typer
from rich.text import Text

from cli.client import ServiceClient
from cli.errors import INTERRUPTED, StopRequested
from cli.local.data_folder import MIN_FREE_MB, has_room
from cli.local.logs import LogFile, warnings_in
from cli.local.service import LocalService, local_service
from cli.local.stop_signals import stop_signals
from cli.local.supervisor_config import log_of
from cli.options import examples, load_settings
from cli.terminal import output, say, working

POLL_SECONDS = 0.5
app = typer.Typer()


@app.command(epilog=examples("boxqueue up", "BOXQUEUE_PORT=9000 BOXQUEUE_DATA=/srv/boxes boxqueue up"))
def up() -> None:
    """Run the whole service here, in the foreground: database, Redis, API, and a worker for each installed runtime.

    A process that crashes is started again. Ctrl-C or SIGTERM stops everything, once the running claims have finished
    (30 s at most); a second one stops at once. Settings are the environment variables BOXQUEUE_*.
    """
    settings = load_settings()
    with stop_signals() as requests:
        try:
            with local_service(settings, requests) as service:
                try:
                    names = ", ".join(program.name for program in service.programs)
                    with working(f"Starting {names} …"):
                        service.wait_until_ready()
                    _print_addresses(service)
                    _print_problems(service)
                except StopRequested:
                    say("Stopping: the running claims are finished first. Ctrl-C again stops at once.", "yellow")
                    requests.hold()
        except StopRequested:
            pass  # before anything ran
        if requests.urgent:
            raise typer.Exit(INTERRUPTED)
        say("Stopped.")


@app.command()
def sweep() -> None:
    """Requeue the jobs of lost workers and ring for queued jobs, now. Workers do so themselves every few seconds."""
    done = subprocess.run([sys.executable, "-P", "-m", "worker.sweep"], check=False)
    raise typer.Exit(done.returncode)


def _print_addresses(service: LocalService) -> None:
    with ServiceClient(service.url, patience=10) as client:
        queues = client.get("/v1/queues")["queues"]
        models = [model["name"] for model in client.get("/v1/models")["models"] if model["available"]]
    workers = ", ".join(f"{queue['runtime']}: {queue['workers']}" for queue in queues) or "none installed"
    lines = [
        ("Boxqueue is up", service.url),
        ("Docs", f"{service.url}/docs"),
        ("Models", ", ".join(models) or "none"),
        ("Workers", workers),
        ("Data", str(service.settings.data)),
        ("Logs", str(service.settings.data / "logs")),
    ]
    for name, value in lines:
        output().print(Text.assemble((f"{name:<15}", "bold"), value), soft_wrap=True)
    output().print("Ctrl-C stops it.")


def _print_problems(service: LocalService) -> None:
    """Prints crashes, warnings and errors of the programs until a signal stops the service."""
    logs = {program.name: LogFile(log_of(service.settings, program.name)) for program in service.programs}
    full = False
    while True:
        was_full, full = full, not has_room(service.settings.data, MIN_FREE_MB)
        if full and not was_full:
            say(f"The disk under {service.settings.data} is full: pictures wait until there is room.", "red")
        for ended in service.exits():
            say(f"{ended.program or 'A program'} ended ({ended.how}) and is started again.", "yellow")
        for name, log in logs.items():
            for line in warnings_in(log.lines()):
                say(f"{name}: {line}")
        time.sleep(POLL_SECONDS)
