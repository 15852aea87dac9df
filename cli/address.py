"""Where a service is: its URL, and whether an address is free for one."""

import errno
import os
import socket

from cli.errors import CommandError
from jobs.settings import Settings

# Addresses that mean "every interface" to a server and nothing to a client.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def url_of(settings: Settings) -> str:
    """The URL at which a client on this machine reaches the service with these settings."""
    host = EVERYWHERE.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def require_free_address(settings: Settings) -> None:
    """Raises `CommandError` where the API could not listen: taken, not allowed, or no address of this machine."""
    host, port = settings.host, settings.port
    try:
        _bind(host, port).close()
    except socket.gaierror:
        raise CommandError(f"{host} (BOXQUEUE_HOST) is no address of this machine.") from None
    except OSError as error:
        raise CommandError(_why_not(error, host, port)) from None


def free_port(host: str) -> int:
    """A port that was free a moment ago."""
    with _bind(host, 0) as probe:
        port: int = probe.getsockname()[1]
    return port


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    probe = socket.socket(family, kind, protocol)
    try:
        # As the API does it: connections of an earlier run that the kernel still remembers are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
    except OSError:
        probe.close()
        raise
    return probe


def _why_not(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is taken: stop what listens there, or choose another with BOXQUEUE_PORT."
        case errno.EACCES:
            return f"Port {port} is not allowed for this user: choose one above 1023 with BOXQUEUE_PORT."
        case errno.EADDRNOTAVAIL:
            return f"{host} (BOXQUEUE_HOST) is no address of this machine."
        case number:
            return f"Can't listen on {host}, port {port}: {os.strerror(number or 0)}."
