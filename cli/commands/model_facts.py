"""What the terminal shows of a model: a few of its labels, and what `boxqueue models check` found."""

from collections.abc import Sequence
from typing import Any

from cli import terminal
from cli.commands.listings import show_detections
from cli.terminal import say

SHOWN_LABELS = 3
SHOWN_DETECTIONS = 20


def few_labels(labels: Sequence[str]) -> str:
    """The first labels and their number: `person, bicycle, car … (80)`."""
    if len(labels) <= SHOWN_LABELS + 1:
        return ", ".join(labels)
    return f"{', '.join(labels[:SHOWN_LABELS])} … ({len(labels)})"


def show_check(found: dict[str, Any]) -> None:
    """A model's inputs, outputs, detections and times."""
    outputs = "; ".join(f"{name} {shape}" for name, shape in found["outputs"].items())
    rows = {name: found[name] for name in ("model", "runtime", "format", "file", "digest")}
    rows["device"] = f"{found['device']}, {found['threads']} threads" if found["threads"] > 1 else found["device"]
    rows |= {
        "input": found["input"],
        "outputs": outputs,
        "loading": f"{found['load_ms'] / 1000:.1f} s, first pictures {found['warm_up_ms'] / 1000:.1f} s",
        "ms a picture": f"{found['alone_ms']} alone, {found['batch_ms']} in batches of {found['batch_size']}",
    }
    terminal.print_facts(rows)
    if found["detections"] is not None:
        show_detections(found["detections"][:SHOWN_DETECTIONS])
        if (more := len(found["detections"]) - SHOWN_DETECTIONS) > 0:
            say(f"… and {more} more. --json shows all.")
    for hint in found["hints"]:
        say(f"Odd: {hint}", "yellow")
