"""The report of a run as a table and as a JSON file, and its verdict."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.checker import ZEROS, Finding
from tests.chaos.conductor import Record

RECOVERY_SECONDS = 30.0


def verdict(finding: Finding, records: Sequence[Record], within_s: float = RECOVERY_SECONDS) -> list[str]:
    """What is wrong, as sentences; empty if nothing is."""
    wrong = [f"{name} {finding.counts[name]} ({what})" for name, what in ZEROS.items() if finding.counts[name]]
    for record in records:
        if record.recovery_s is None:
            wrong.append(f"no recovery from: {record.fault} at {record.applied_s:g} s")
        elif record.recovery_s > within_s:
            wrong.append(f"recovery took {record.recovery_s:g} s: {record.fault} at {record.applied_s:g} s")
    if finding.longest_accept_s > within_s:
        wrong.append(f"a client had to try for {finding.longest_accept_s:g} s until its pictures were accepted")
    return wrong


def write_report(
    path: Path, finding: Finding, records: Sequence[Record], about: dict[str, Any], wrong: Sequence[str]
) -> None:
    document = {
        **finding.as_json(),
        "recoveries_s": [record.recovery_s for record in records],
        "faults": [record.as_json() for record in records],
        "wrong": list(wrong),
        **about,
    }
    path.write_text(json.dumps(document, indent=1) + "\n")


def print_report(
    console: Console, finding: Finding, records: Sequence[Record], about: dict[str, Any], wrong: Sequence[str]
) -> None:
    table = Table("what", "number", "", title="Chaos", title_justify="left")
    counted = finding.as_json()
    table.add_row("submitted", f"{finding.submitted:,}", "accepted: 202 or 200, and in the ledger")
    table.add_row("succeeded", f"{finding.succeeded:,}", "")
    for code, number in counted["failed_by_code"].items():
        table.add_row(f"failed: {code}", f"{number:,}", "")
    table.add_row("cancelled", f"{finding.cancelled:,}", "", end_section=True)
    for name, what in ZEROS.items():
        number = finding.counts[name]
        table.add_row(name, str(number), what, style="red" if number else "green")
    table.add_section()
    table.add_row("longest wait", f"{finding.longest_wait_s:.1f} s", "from accepted to answered")
    table.add_row(
        "longest accept", f"{finding.longest_accept_s:.1f} s", "from the first try to the 202", end_section=True
    )
    for fault in sorted({record.fault for record in records}):
        times = [record.recovery_s for record in records if record.fault == fault]
        known = sorted(one for one in times if one is not None)
        middle = f"{known[len(known) // 2]:.1f} s" if known else "none"
        longest = f"{known[-1]:.1f} s" if len(known) == len(times) else "never"
        late = longest == "never" or known[-1] > RECOVERY_SECONDS
        table.add_row(
            fault, f"{len(times)} ×", f"recovery: median {middle}, longest {longest}", style="red" if late else None
        )
    console.print(table)
    for what, sentences in finding.examples.items():
        for sentence in sentences:
            console.print(f"{what}: {sentence}", style="red", highlight=False)
    for name, value in about.items():
        console.print(f"{name}: {value}", style="dim", highlight=False)
    if wrong:
        console.print("Not as promised: " + "; ".join(wrong), style="bold red")
    else:
        console.print("No job is lost or doubled, and no good picture failed.", style="bold green")
