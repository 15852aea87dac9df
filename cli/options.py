"""Options and examples that several commands share, and the service that a command uses."""

from typing import Annotated

import typer

from cli.address import url_of
from cli.client import ServiceClient
from cli.errors import WrongUsage
from jobs.errors import ConfigurationError
from jobs.settings import Settings

UrlOption = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The service. Default: the one that `boxqueue up` starts here."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
# An id in the examples.
EXAMPLE_ID = "0199c1d2-7c1e-7aa0-8000-0123456789ab"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *lines])


def load_settings() -> Settings:
    """Raises `WrongUsage` with the sentence that names the variable."""
    try:
        return Settings.load()
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from None


def service(url: str | None, patience: float = 0.0, longest_wait: float = 0.0) -> ServiceClient:
    """The service at `url`. Default: at the address in the settings."""
    return ServiceClient(url or url_of(load_settings()), patience, longest_wait)
