"""Options and examples that several commands share."""

from typing import Annotated

import typer

UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The service. Default: the one that `boxqueue up` starts here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
# An id in the examples.
SOME_ID = "0199c1d2-7c1e-7aa0-8000-0123456789ab"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *lines])
