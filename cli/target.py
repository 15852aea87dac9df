"""Which service a command uses."""

from cli.address import url_of
from cli.client import ServiceClient
from cli.errors import WrongUsage
from jobs.errors import ConfigurationError
from jobs.settings import Settings


def load_settings() -> Settings:
    """Raises `WrongUsage` with the sentence that names the variable."""
    try:
        return Settings.load()
    except ConfigurationError as error:
        raise WrongUsage(str(error)) from None


def service(url: str | None, patience: float = 0.0, longest_wait: float = 0.0) -> ServiceClient:
    """The service at `url`. Default: at the address in the settings."""
    return ServiceClient(url or url_of(load_settings()), patience, longest_wait)
