"""The summary at the end of an ingest: a table, or JSON."""

from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.batch import Failures
from cli.terminal import output, print_json, say


def show_summary(
    shown: dict[str, Any], failures: Failures, *, skipped: int, seconds: float, results: Path | None, as_json: bool
) -> None:
    """`shown`: the batch as the service shows it. `skipped`: the files whose names are not those of pictures."""
    answered = shown["succeeded"] + shown["failed"]
    facts = {
        "batch": shown["id"],
        "status": shown["status"],
        "succeeded": shown["succeeded"],
        "failed": failures.total,
        "cancelled": shown["cancelled"],
        "skipped": skipped,
        "seconds": round(seconds, 1),
        "pictures_per_s": round(answered / seconds, 1) if seconds else None,
        "results": str(results) if results else None,
    }
    if as_json:
        print_json({**facts, "failures": dict(failures.count), "examples": failures.examples})
        return
    table = Table(show_header=False, box=None)
    for name in ("succeeded", "failed"):
        table.add_row(name, str(facts[name]))
    for code, count in failures.count.most_common():
        named = failures.examples[code]
        more = f" and {count - len(named)} more" if count > len(named) else ""
        table.add_row(Text(f"  {code}"), Text(f"{count}: {', '.join(named)}{more}"))
    for name in ("cancelled", "skipped"):
        if facts[name]:
            table.add_row(name, str(facts[name]) + (" (no pictures by their names)" if name == "skipped" else ""))
    table.add_row("seconds", str(facts["seconds"]))
    table.add_row("pictures/s", str(facts["pictures_per_s"]))
    table.add_row("batch", shown["id"])
    if results:
        table.add_row("results", Text(str(results)))
    output().print(table)
    if shown["status"] == "open":
        say(f"The batch is still open: `boxqueue batches {shown['id']} --close` ends it.")
