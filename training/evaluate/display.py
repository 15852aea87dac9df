"""What training and evaluation show: a line for each stage, with a bar and the time that is left; tables."""

from __future__ import annotations

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
"""Where nobody watches, into a file or a pipe, a line this often."""

NAMED = 10
"""How many of what was left out are named on the terminal."""

Tell = Callable[[int, str], None]
"""Told how much is done, and a word about it."""


@contextmanager
def stage(console: Console, title: str, total: int) -> Iterator[Tell]:
    """Shows how far a piece of work is until it ends."""
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
    started = said = time.monotonic()
    with Progress(*columns, console=console, disable=not live) as progress:
        task = progress.add_task(title, total=total, note="")

        def tell(done: int, note: str = "") -> None:
            nonlocal said
            progress.update(task, completed=done, note=note)
            now = time.monotonic()
            if not live and now - said > QUIET_SECONDS:
                said = now
                console.print(f"{title}: {done} of {total}, {(now - started) / 60:.1f} min. {note}".rstrip())

        yield tell
    if not live:
        console.print(f"{title}: done in {(time.monotonic() - started) / 60:.1f} min")


def left_out(console: Console, skipped: Sequence[str], everything: Path | None = None) -> None:
    """Names what a folder has that can't be used; all of it into a file, if one is given."""
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
    """A row for each label, and the mean."""
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
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    between = "" if row.ap50_interval is None else " ({:.2f}–{:.2f})".format(*row.ap50_interval)
    return [str(row.boxes), shown(row.ap50) + between, shown(row.ap75), shown(row.ap)]
