"""Output of the commands: results on the standard output, everything else on the standard error."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

# Columns of a table in a file, a pipe or CI: wide enough that no id or name is cut.
WIDTH_WITHOUT_TERMINAL = 160


def output() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)


def messages() -> Console:
    console = Console(stderr=True, highlight=False)
    return console if console.is_terminal else Console(stderr=True, highlight=False, width=WIDTH_WITHOUT_TERMINAL)


def say(sentence: str, style: str = "") -> None:
    """Prints one message for the user. Brackets in it are not markup, because text may come from elsewhere."""
    messages().print(Text(sentence, style), soft_wrap=True)


@contextmanager
def working(sentence: str) -> Iterator[None]:
    """Shows what takes a while: a spinner in a terminal, otherwise a line."""
    console = messages()
    if not console.is_terminal:
        say(sentence)
        yield
        return
    with console.status(Text(sentence)):
        yield


def print_json(value: Any) -> None:
    """Prints one JSON document, for scripts."""
    output().out(json.dumps(value, ensure_ascii=False, indent=2))
