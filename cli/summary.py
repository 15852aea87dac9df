"""The summary of a batch: what became of each file."""

from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli import terminal
from cli.results_file import EXAMPLES, Failures
from cli.terminal import print_json, say


def show_summary(
    shown: dict[str, Any],
    failures: Failures,
    skipped: Counter[str],
    left_out: Counter[str],
    *,
    seconds: float,
    results: Path | None,
    as_json: bool,
) -> None:
    """`shown`: the batch as the service shows it. `skipped`: endings of the files that are no pictures. `left_out`:
    names of what is never a picture of the user."""
    answered = shown["succeeded"] + shown["failed"]
    facts = {
        "batch": shown["id"],
        "status": shown["status"],
        "succeeded": shown["succeeded"],
        "failed": failures.total,
        "cancelled": shown["cancelled"],
        "skipped": skipped.total(),
        "left_out": left_out.total(),
        "seconds": round(seconds, 1),
        "pictures_per_s": round(answered / seconds, 1) if seconds else None,
        "results": str(results) if results else None,
    }
    if as_json:
        by_ending = {
            "skipped_by_ending": dict(skipped),
            "failures_by_ending": {code: dict(found) for code, found in failures.endings.items()},
        }
        print_json({**facts, "failures": dict(failures.count), **by_ending, "examples": failures.examples})
        return
    table = Table(show_header=False, box=None)
    for name in ("succeeded", "failed"):
        table.add_row(name, str(facts[name]))
    for code, count in failures.count.most_common():
        named = failures.examples[code]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        endings = f" ({listed(failures.endings[code])})" if count > len(named) else ""
        table.add_row(Text(f"  {code}"), Text(f"{count}: {', '.join(named)}{more}{endings}"))
    if shown["cancelled"]:
        table.add_row("cancelled", str(shown["cancelled"]))
    if skipped:
        table.add_row("skipped", Text(f"{skipped.total()} (no pictures: {listed(skipped)})"))
    if left_out:
        names = ", ".join(name for name, _ in left_out.most_common(EXAMPLES))
        table.add_row("left out", Text(f"{left_out.total()} (hidden files, and those of other programs: {names})"))
    table.add_row("seconds", str(facts["seconds"]))
    table.add_row("pictures/s", str(facts["pictures_per_s"]))
    table.add_row("batch", shown["id"])
    if results:
        table.add_row("results", Text(str(results)))
    terminal.output().print(table)
    if shown["status"] == "open":
        say(f"The batch is still open: `boxqueue batches {shown['id']} --close` ends it.")


def listed(endings: Counter[str]) -> str:
    """For example `.txt 9, .xml 3`."""
    return ", ".join(f"{ending} {number}" for ending, number in endings.most_common())
