"""What training and evaluation print: progress, skipped annotations, the table of a report."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from training.evaluate.scores import INTERVAL_PERCENTILES, Report, Row

LOG_INTERVAL_SECONDS = 60.0
"""Time between two lines of progress if the output is not a terminal."""

MAX_LISTED = 10
"""Number of skipped annotations that the terminal lists."""

UpdateProgress = Callable[[int, str], None]
"""Is called with the number of items that are done, and a note to show."""


@contextmanager
def progress_bar(console: Console, title: str, total: int) -> Iterator[UpdateProgress]:
    """Shows the progress of `total` items: on a terminal a bar, elsewhere a line every minute."""
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
            if not live and now - printed > LOG_INTERVAL_SECONDS:
                printed = now
                console.print(f"{title}: {done} of {total}, {(now - started) / 60:.1f} min. {note}".rstrip())

        yield update
    if not live:
        console.print(f"{title}: done in {(time.monotonic() - started) / 60:.1f} min")


def print_skipped(console: Console, skipped: Sequence[str], file: Path | None = None) -> None:
    """Lists the first annotations that were left out, and writes all of them to `file`."""
    for line in skipped[:MAX_LISTED]:
        console.print(Text(f"left out: {line}", "yellow"), soft_wrap=True)
    more = len(skipped) - MAX_LISTED
    if file and skipped:
        file.write_text("\n".join([*skipped, ""]), encoding="utf-8")
        if more > 0:
            console.print(Text(f"left out: {more} more, all of them in {file}", "yellow"), soft_wrap=True)
    elif more > 0:
        console.print(Text(f"left out: {more} more", "yellow"), soft_wrap=True)


def report_table(title: str, report: Report) -> Table:
    """A table with a row for each label, and the mean."""
    table = Table(title=Text(title), title_justify="left")
    table.add_column("class")
    for name in ("boxes", f"AP50 ({INTERVAL_PERCENTILES[1] - INTERVAL_PERCENTILES[0]:.0f} %)", "AP75", "AP"):
        table.add_column(name, justify="right")
    for row in report.rows:
        table.add_row(Text(row.label), *_ap_cells(row))
    table.add_section()
    table.add_row("mean", *_ap_cells(report.mean), style="bold")
    return table


def _ap_cells(row: Row) -> list[str]:
    return [str(row.boxes), format_ap(row.ap50, row.ap50_interval), format_ap(row.ap75), format_ap(row.ap)]


def format_ap(value: float | None, interval: tuple[float, float] | None = None) -> str:
    """Average precision with its interval: "0.870 (0.80–0.92)", or "–" where there is no value."""
    range_ = "" if interval is None else " ({:.2f}–{:.2f})".format(*interval)
    return "–" if value is None else f"{value:.3f}{range_}"
