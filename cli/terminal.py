"""Where the commands print: answers on the standard output, everything else on the standard error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

# Where nobody watches (a file, a pipe, CI) tables get room, so that no id or name is cut.
UNWATCHED_WIDTH = 160


def output() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=UNWATCHED_WIDTH)


def messages() -> Console:
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=UNWATCHED_WIDTH)


def say(sentence: str, style: str = "") -> None:
    """One message for the person. Text from elsewhere may hold brackets, which are no markup here."""
    messages().print(Text(sentence, style), soft_wrap=True)


@contextmanager
def working(sentence: str) -> Iterator[None]:
    """Says what takes a while: a spinner where somebody watches, else a line."""
    console = messages()
    if not console.is_terminal:
        say(sentence)
        yield
        return
    with console.status(Text(sentence)):
        yield


def print_json(value: Any) -> None:
    """For scripts: the answer as it came, one document."""
    output().out(json.dumps(value, ensure_ascii=False, indent=2))
