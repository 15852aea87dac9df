"""What training and evaluation print: the progress of a stage, skipped annotations, the table of a report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from training.evaluate.scores import SURE, Report, Row

QUIET_SECONDS = 60.0
"""Pause between two lines of progress where the output is not a terminal."""

NAMED = 10
"""How many of the skipped annotations the terminal lists."""

Update = Callable[[int, str], None]
"""Called with how much is done, and a note about it."""


@contextmanager
def stage(console: Console, title: str, total: int) -> Iterator[Update]:
    """Shows the progress of a piece of work: a bar on a terminal, elsewhere a line a minute."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    live = console.is_terminal
    started = printed = time.monotonic()
    with Progress(*columns, console=console, disable=not live) as progress:
        task = progress.add_task(title, total=total, note="")

        def update(done: int, note: str = "") -> None:
            nonlocal printed
            progress.update(task, completed=done, note=note)
            now = time.monotonic()
            if not live and now - printed > QUIET_SECONDS:
                printed = now
                console.print(f"{title}: {done} of {total}, {(now - started) / 60:.1f} min. {note}".rstrip())

        yield update
    if not live:
        console.print(f"{title}: done in {(time.monotonic() - started) / 60:.1f} min")


def print_skipped(console: Console, skipped: Sequence[str], everything: Path | None = None) -> None:
    """Lists the first annotations that were left out, and writes all of them to the file `everything`."""
    for line in skipped[:NAMED]:
        console.print(Text(f"left out: {line}", "yellow"), soft_wrap=True)
    rest = len(skipped) - NAMED
    if everything and skipped:
        everything.write_text("\n".join([*skipped, ""]), encoding="utf-8")
        if rest > 0:
            console.print(Text(f"left out: {rest} more, all of them in {everything}", "yellow"), soft_wrap=True)
    elif rest > 0:
        console.print(Text(f"left out: {rest} more", "yellow"), soft_wrap=True)


def report_table(title: str, report: Report) -> Table:
    """A table with a row for each label, and the mean."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("class")
    for name in ("boxes", f"AP50 ({SURE[1] - SURE[0]:.0f} %)", "AP75", "AP"):
        table.add_column(name, justify="right")
    for row in report.rows:
        table.add_row(Text(row.label), *_cells(row))
    table.add_section()
    table.add_row("mean", *_cells(report.mean), style="bold")
    return table


def _cells(row: Row) -> list[str]:
    return [str(row.boxes), figure(row.ap50, row.ap50_interval), figure(row.ap75), figure(row.ap)]


def figure(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """Average precision with its interval: "0.870 (0.80–0.92)", or "–" where there is no value."""
    between = "" if interval is None else " ({:.2f}–{:.2f})".format(*interval)
    return "–" if value is None else f"{value:.3f}{between}"
