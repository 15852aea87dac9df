"""`python -m tests.chaos run` and `python -m tests.chaos check`."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.chaos import checker
from tests.chaos.report import RECOVERY_SECONDS, print_report, verdict, write_report
from tests.chaos.run import Options, run_chaos
from tests.poison import MODEL

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, pretty_exceptions_enable=False)
REPORT = Path("chaos-report.json")

Seconds = Annotated[float, typer.Option(help="Seconds without progress after which open jobs count as lost.")]


@app.command()
def run(
    jobs: Annotated[int, typer.Option(min=1, help="Pictures to send.")] = 1000,
    kills: Annotated[
        int, typer.Option(min=0, help="SIGKILLs: worker children, parents, whole workers, API, supervisor.")
    ] = 30,
    redis_restarts: Annotated[int, typer.Option(min=0, help="Redis killed and started again, empty.")] = 3,
    db_restarts: Annotated[int, typer.Option(min=0, help="PostgreSQL stopped `immediate` and started again.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the pictures and of the schedule of faults.")] = 1,
    database: Annotated[str, typer.Option(help="postgresql or sqlite.")] = "postgresql",
    url: Annotated[str, typer.Option(help="Send to this running service instead; no faults are applied.")] = "",
    database_url: Annotated[str, typer.Option(help="With --url: its database, for the checks by SQL.")] = "",
    model: Annotated[str, typer.Option(help="With --url: the model. Its answers are not compared.")] = "",
    set_: Annotated[
        list[str], typer.Option("--set", help="A setting of the service, LEASE_SECONDS=3; repeatable.")
    ] = [],  # noqa: B006
    poison: Annotated[bool, typer.Option(help="Send some pictures that kill, hang, use up memory or raise.")] = True,
    picture_seconds: Annotated[
        float, typer.Option(min=0, help="Seconds that the detector takes for a picture.")
    ] = 0.03,
    only: Annotated[str, typer.Option(help="Only this kind of fault: kill_worker, freeze_worker, …")] = "",
    sabotage: Annotated[
        str, typer.Option(help="Break the service itself: fence, sweep or lone. The check must fail.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Folder for logs and ledger, which is kept. Default: a temporary one.")
    ] = None,
    patience: Seconds = 60,
    recovery_seconds: Annotated[
        float, typer.Option(help="Most seconds for a recovery, and for a submit.")
    ] = RECOVERY_SECONDS,
    report: Annotated[Path, typer.Option(help="JSON file for the numbers.")] = REPORT,
) -> None:
    """Start a service, send pictures, apply faults by a schedule, and count. Exit code 1 if a promise is broken."""
    if database not in ("postgresql", "sqlite"):
        raise typer.BadParameter("--database is postgresql or sqlite")
    if any("=" not in one for one in set_):
        raise typer.BadParameter("--set takes NAME=VALUE")
    options = Options(
        jobs=jobs,
        kills=kills,
        redis_restarts=redis_restarts,
        database_restarts=db_restarts,
        seed=seed,
        database=database,
        settings={name.lower(): value for name, value in (one.split("=", 1) for one in set_)},
        poison=poison,
        picture_seconds=picture_seconds,
        only=only,
        sabotage=sabotage or None,
        url=url or None,
        database_url=database_url or None,
        model=model or MODEL,
        patience_s=patience,
        recovery_s=recovery_seconds,
        folder=folder,
        report=report,
    )
    sys.exit(run_chaos(options, Console()))


@app.command()
def check(
    url: Annotated[str, typer.Option(help="Address of the service of the ledger.")],
    ledger: Annotated[Path, typer.Option(exists=True, help="The ledger, as JSON lines.")],
    database_url: Annotated[str, typer.Option(help="Its database, for the checks by SQL.")] = "",
    patience: Seconds = 60,
    report: Annotated[Path, typer.Option(help="JSON file for the numbers.")] = REPORT,
) -> None:
    """Count what became of the jobs of a ledger. Exit code 1 if a promise is broken."""
    console = Console()
    finding = checker.check(url, ledger, database_url or None, patience_s=patience)
    wrong = verdict(finding, [])
    print_report(console, finding, [], {}, wrong)
    write_report(report, finding, [], {"ledger": str(ledger), "url": url}, wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    app()
