"""Output of the commands: results on the standard output, everything else on the standard error."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
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


def print_facts(values: dict[str, Any]) -> None:
    """Prints a table of names and values, without those that are None."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        if value is not None:
            table.add_row(name, Text(str(value)))
    output().print(table)


def print_table(headings: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Prints a table; None becomes an empty cell."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        # People copy ids and names, so they wrap instead of being cut.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    output().print(table)
