"""How many workers one database can feed: claims and finishes of 1, 4, 16 and 64 workers at once on a real PostgreSQL.
Also the cost of a doorbell in Redis, and how fast an image store in a folder is.

The claimers are workers without a model. They share this machine's cores with the database server, so the table also
shows the CPU time of both: a database on its own machine has all cores for itself. docs/scale.md uses these figures.
"""

from collections.abc import Callable

import psutil
import sqlalchemy as sa
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.arguments import new_parser
from benchmarks.database.claimers import Measurement, QueueEmpty, measure
from benchmarks.database.databases import databases
from benchmarks.database.deep_tables import fill, vacuum
from benchmarks.database.doorbells import doorbells, store_reads
from benchmarks.database.engine_work import CLAIM_SIZES

CLAIMERS = (1, 4, 16, 64)
PICTURES_PER_S = 20
"""Speed of one worker with a small model on one or two cores."""
READERS = 16
EXAMPLES = """\
  python -m benchmarks.claims                                          10 s each, beside 1,000,000 finished jobs
  python -m benchmarks.claims --rows 10000 --queued 20000 --seconds 2  smaller
"""
console = Console(width=120)


def claims(finished: int, queued: int, seconds: float) -> list[Measurement]:
    """Measures each number of claimers with each claim size, on one database with finished and queued jobs."""
    with databases("postgresql", "claims") as (db,):
        with Progress(console=console) as progress:
            task = progress.add_task("filling postgresql", total=finished + queued)
            fill(db, finished, queued, lambda more: progress.advance(task, more))
        with db.read() as connection:
            backend = psutil.Process(connection.scalar(sa.text("SELECT pg_backend_pid()")))
        server = backend.parent()
        assert server is not None
        url = db.engine.url.render_as_string(hide_password=False)
        measurements = []
        with Progress(console=console) as progress:
            task = progress.add_task("measuring", total=len(CLAIM_SIZES) * len(CLAIMERS))
            for size in CLAIM_SIZES:
                for claimers in CLAIMERS:
                    vacuum(db)
                    try:
                        measurements.append(measure(url, server, claimers, size, seconds))
                    except QueueEmpty:
                        raise SystemExit("The queue ran out of jobs: raise --queued.") from None
                    progress.advance(task)
        return measurements


def show(measurements: list[Measurement]) -> None:
    columns: dict[str, Callable[[Measurement], str]] = {
        "claimers": lambda row: f"{row.claimers}",
        "jobs a claim": lambda row: f"{row.size}",
        "claims/s": lambda row: f"{row.cycles_per_s:,.0f}",
        "ms a claim": lambda row: f"{row.claim_ms:.1f}",
        "pictures/s": lambda row: f"{row.pictures_per_s:,.0f}",
        f"workers of {PICTURES_PER_S}/s fed": lambda row: f"{row.pictures_per_s / PICTURES_PER_S:,.0f}",
        "CPU ms, database": lambda row: f"{row.database_cpu_ms:.2f}",
        "fed by one core of it": lambda row: f"{1000 * row.size / row.database_cpu_ms / PICTURES_PER_S:,.0f}",
        "CPU ms, claimers": lambda row: f"{row.client_cpu_ms:.2f}",
    }
    table = Table(title="claims, each with its finish", title_justify="left", box=SIMPLE)
    for heading in columns:
        table.add_column(heading, justify="right")
    for row in measurements:
        table.add_row(*(column(row) for column in columns.values()))
    console.print(table)


def main() -> None:
    parser = new_parser("claims", __doc__, EXAMPLES)
    parser.add_argument("--rows", type=int, default=1_000_000, help="finished jobs in the tables")
    parser.add_argument("--queued", type=int, default=300_000, help="queued jobs; nine in ten are claimed")
    parser.add_argument("--seconds", type=float, default=10, help="for each number of claimers")
    arguments = parser.parse_args()
    show(claims(arguments.rows, arguments.queued, arguments.seconds))
    rates = doorbells(arguments.seconds)
    console.print(
        f"doorbells: {rates.per_s:,.0f}/s of one client; {rates.redis_cpu_us:.0f} µs of Redis each: "
        f"{1e6 / rates.redis_cpu_us:,.0f}/s of one Redis"
    )
    written, read = store_reads(READERS)
    console.print(f"pictures of 50 kB in a folder: {written:,.0f}/s written, {read:,.0f}/s read by {READERS} threads")


if __name__ == "__main__":
    main()
