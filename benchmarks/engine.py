"""The engine alone: what its statements cost on empty tables and on deep ones, side by side in one run.

Submits, claims, finishes and empty doorbells (claims that find nothing) are done in turn on a database without a past
and on one with it, one by one, so that whatever else the machine does meets both alike. The ratio is deep over empty,
of the medians. Exit code 1 where a claim or an empty doorbell costs more than 1.5 times as much on deep tables, or
where one of the statements reads a growing table from end to end.
"""

import argparse
import sys

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.database.databases import KINDS, databases
from benchmarks.database.deep_tables import fill, settle
from benchmarks.database.engine_work import CLAIM_SIZES, Side
from benchmarks.database.plans import plans

EXAMPLES = """
examples:
  python -m benchmarks.engine                                  1,000,000 finished and 100,000 queued jobs
  python -m benchmarks.engine --rows 100000 --queued 10000     smaller, for a look
  python -m benchmarks.engine --only postgresql --plans        one database, and its plans word for word
"""
LIMIT = 1.5
"""Deep over empty, for a claim and for an empty doorbell."""
LIMITED = ("claim", "empty doorbell")
console = Console(width=120)


def measure(empty: Side, deep: Side, rounds: int) -> None:
    """Takes the times on both sides, in turn."""
    with Progress(console=console) as progress:
        task = progress.add_task("measuring", total=rounds)
        # The round before the first one warms connections and caches up.
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


def show_times(kind: str, empty: Side, deep: Side) -> list[str]:
    """Prints the ratios beside the absolute figures; what missed its limit."""
    table = Table("", title=f"{kind}, a second", title_justify="left", box=SIMPLE, padding=(0, 1))
    for heading in ("empty", "deep", "ms, deep", "deep over empty"):
        table.add_column(heading, justify="right")
    table.add_column("limit")
    missed = []
    for name in empty.seconds:
        ratio = deep.median(name) / empty.median(name)
        verdict = ""
        if name.startswith(LIMITED):
            verdict = f"{LIMIT}: {'held' if ratio <= LIMIT else 'MISSED'}"
        if verdict.endswith("MISSED"):
            missed.append(f"{kind}: {name}: {ratio:.2f} times as much on deep tables, the limit is {LIMIT}")
        speeds = [f"{1 / side.median(name):,.0f}" for side in (empty, deep)]
        table.add_row(name, *speeds, f"{deep.median(name) * 1000:.2f}", f"{ratio:.2f}", verdict)
    console.print(table)
    return missed


def show_plans(kind: str, deep: Side, in_full: bool) -> list[str]:
    """Prints which indexes each step uses on deep tables; what reads a growing table from end to end."""
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
    """The whole benchmark on one kind of database; what missed its limit."""
    with databases(kind, "empty", "deep") as (empty_db, deep_db):
        with Progress(console=console) as progress:
            task = progress.add_task(f"filling {kind}", total=finished + queued)
            fill(deep_db, finished, queued, lambda more: progress.advance(task, more))
        settle(empty_db)
        empty, deep = Side(empty_db), Side(deep_db)
        measure(empty, deep, rounds)
        return [*show_times(kind, empty, deep), *show_plans(kind, deep, in_full)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engine",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="finished jobs in the deep tables")
    parser.add_argument("--queued", type=int, default=100_000, help="queued jobs in the deep tables")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=KINDS, help="one kind of database instead of both")
    parser.add_argument("--plans", action="store_true", help="print the plans word for word")
    given = parser.parse_args()
    missed = []
    for kind in [given.only] if given.only else KINDS:
        missed += run(kind, given.rows, given.queued, given.rounds, in_full=given.plans)
    for line in missed:
        console.print(line, style="red", markup=False)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
