"""The database alone: the cost of its statements on empty tables and on deep ones, measured side by side in one run.

Submits, claims, finishes and empty doorbells (claims that find no job) alternate between an empty database and one with
many jobs, so that other load on the machine affects both alike. The ratio is the median on deep tables over the median
on empty ones. Exit code 1 if a claim or an empty doorbell takes more than 1.5 times as long on deep tables, or if a
statement reads a growing table from end to end.
"""

import sys

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.arguments import new_parser
from benchmarks.database.databases import DATABASE_KINDS, databases
from benchmarks.database.deep_tables import fill, vacuum
from benchmarks.database.engine_work import CLAIM_SIZES, TimedDatabase
from benchmarks.database.plans import plans

EXAMPLES = """\
  python -m benchmarks.engine                                  1,000,000 finished and 100,000 queued jobs
  python -m benchmarks.engine --rows 100000 --queued 10000     smaller
  python -m benchmarks.engine --only postgresql --plans        one database, and its plans in full
"""
MAX_RATIO = 1.5
"""Limit of the ratio deep over empty, for the steps in LIMITED_STEPS."""
LIMITED_STEPS = ("claim", "empty doorbell")
console = Console(width=120)


def measure(empty: TimedDatabase, deep: TimedDatabase, rounds: int) -> None:
    """Measures the times on both sides, in turn."""
    with Progress(console=console) as progress:
        task = progress.add_task("measuring", total=rounds)
        # Round -1 warms up connections and caches.
        for number in range(-1, rounds):
            for size in CLAIM_SIZES:
                steps = zip(empty.round(size), deep.round(size), strict=True)
                for count, ((name, on_empty), (_, on_deep)) in enumerate(steps):
                    pair = [(empty, on_empty), (deep, on_deep)]
                    for side, step in pair if count % 2 else reversed(pair):
                        side.timed(name, step)
            if number < 0:
                empty.seconds.clear()
                deep.seconds.clear()
            progress.update(task, completed=number + 1)


def show_times(kind: str, empty: TimedDatabase, deep: TimedDatabase) -> list[str]:
    """Prints the ratios and the absolute times. Returns a line for each step that missed its limit."""
    table = Table("", title=f"{kind}, a second", title_justify="left", box=SIMPLE, padding=(0, 1))
    for heading in ("empty", "deep", "ms, deep", "deep over empty"):
        table.add_column(heading, justify="right")
    table.add_column("limit")
    missed = []
    for name in empty.seconds:
        ratio = deep.median(name) / empty.median(name)
        verdict = ""
        if name.startswith(LIMITED_STEPS):
            verdict = f"{MAX_RATIO}: {'held' if ratio <= MAX_RATIO else 'MISSED'}"
        if verdict.endswith("MISSED"):
            missed.append(f"{kind}: {name}: {ratio:.2f} times as long on deep tables, the limit is {MAX_RATIO}")
        speeds = [f"{1 / side.median(name):,.0f}" for side in (empty, deep)]
        table.add_row(name, *speeds, f"{deep.median(name) * 1000:.2f}", f"{ratio:.2f}", verdict)
    console.print(table)
    return missed


def show_plans(kind: str, deep: TimedDatabase, in_full: bool) -> list[str]:
    """Prints the indexes that each step uses on deep tables. Returns a line for each scan of a growing table."""
    table = Table("", "indexes", title=f"{kind}, plans on deep tables", title_justify="left", box=SIMPLE)
    missed = []
    for name, step in dict(step for size in CLAIM_SIZES for step in deep.round(size)).items():
        found = plans(deep.db, step)
        table.add_row(
            name, ", ".join(dict.fromkeys(index for plan in found for index in plan.indexes)) or "none needed"
        )
        for plan in found:
            if in_full:
                console.print(f"{name}: {plan.statement}\n{plan.text}\n", markup=False, highlight=False)
            missed += [f"{kind}: {name} reads all of {scanned}: {plan.statement}" for scanned in plan.scanned]
    console.print(table)
    return missed


def run(kind: str, finished: int, queued: int, rounds: int, *, in_full: bool) -> list[str]:
    """Runs the whole benchmark on one kind of database. Returns a line for each missed limit."""
    with databases(kind, "empty", "deep") as (empty_db, deep_db):
        with Progress(console=console) as progress:
            task = progress.add_task(f"filling {kind}", total=finished + queued)
            fill(deep_db, finished, queued, lambda more: progress.advance(task, more))
        vacuum(empty_db)
        empty, deep = TimedDatabase(empty_db), TimedDatabase(deep_db)
        measure(empty, deep, rounds)
        return [*show_times(kind, empty, deep), *show_plans(kind, deep, in_full)]


def main() -> None:
    parser = new_parser("engine", __doc__, EXAMPLES)
    parser.add_argument("--rows", type=int, default=1_000_000, help="finished jobs in the deep tables")
    parser.add_argument("--queued", type=int, default=100_000, help="queued jobs in the deep tables")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=DATABASE_KINDS, help="one kind of database instead of both")
    parser.add_argument("--plans", action="store_true", help="print the plans in full")
    arguments = parser.parse_args()
    missed = []
    for kind in [arguments.only] if arguments.only else DATABASE_KINDS:
        missed += run(kind, arguments.rows, arguments.queued, arguments.rounds, in_full=arguments.plans)
    for line in missed:
        console.print(line, style="red", markup=False)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
