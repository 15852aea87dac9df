"""The summary of a batch: what became of each file."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli import terminal
from cli.results_file import Tally
from cli.terminal import print_json, say

# A line has room for this many endings or kinds.
MAX_LISTED = 8


def show_summary(
    shown: dict[str, Any],
    failures: Tally,
    skipped: Tally,
    left_out: Counter[str],
    *,
    seconds: float,
    results: Path | None,
    as_json: bool,
) -> None:
    """`shown`: the batch as the service shows it. `left_out`: the number of files and folders that are never a user's
    pictures, by their kind."""
    answered = shown["succeeded"] + shown["failed"]
    facts = {
        "batch": shown["id"],
        "status": shown["status"],
        "succeeded": shown["succeeded"],
        "failed": failures.total,
        "cancelled": shown["cancelled"],
        "skipped": skipped.total,
        "left_out": left_out.total(),
        "seconds": round(seconds, 1),
        "pictures_per_s": round(answered / seconds, 1) if seconds else None,
        "results": str(results) if results else None,
    }
    if as_json:
        causes = {
            "failures": failures.count,
            "failures_by_ending": failures.endings,
            "skips": skipped.count,
            "skips_by_ending": skipped.endings,
            "left_out_by_kind": left_out,
            "examples": failures.examples | skipped.examples,
        }
        print_json({**facts, **causes})
        return
    table = Table(show_header=False, box=None)
    table.add_row("succeeded", str(facts["succeeded"]))
    table.add_row("failed", str(facts["failed"]))
    _add_causes(table, failures)
    if shown["cancelled"]:
        table.add_row("cancelled", str(shown["cancelled"]))
    if skipped.total:
        table.add_row("skipped", str(skipped.total))
        _add_causes(table, skipped)
    if left_out:
        table.add_row("left out", Text(f"{left_out.total()}: {listed(left_out)}"))
    table.add_row("seconds", str(facts["seconds"]))
    table.add_row("pictures/s", str(facts["pictures_per_s"]))
    table.add_row("batch", shown["id"])
    if results:
        table.add_row("results", Text(str(results)))
    terminal.output().print(table)
    if shown["status"] == "open":
        say(f"The batch is still open: `boxqueue batches {shown['id']} --close` ends it.")


def _add_causes(table: Table, tally: Tally) -> None:
    """A row for each code, for example `not_a_picture  12: a.txt, b.xml, c.txt and 9 more (.txt 9, .xml 3)`."""
    for code, count in tally.count.most_common():
        named = tally.examples[code]
        more = f" and {count - len(named)} more ({listed(tally.endings[code])})" if count > len(named) else ""
        table.add_row(Text(f"  {code}"), Text(f"{count}: {', '.join(named)}{more}"))


def listed(counted: Counter[str]) -> str:
    """For example `.txt 9, .xml 3`."""
    names = [f"{name} {number}" for name, number in counted.most_common(MAX_LISTED)]
    rest = counted.total() - sum(number for _, number in counted.most_common(MAX_LISTED))
    return ", ".join([*names, f"others {rest}"] if rest else names)
