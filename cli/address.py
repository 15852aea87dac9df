"""The URL of a service, and whether an address is free for one."""

import errno
import os
import socket

from cli.errors import CommandError
from jobs.settings import Settings

# Addresses that mean "every interface" to a server, and the loopback addresses for a client.
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound


def url_of(settings: Settings) -> str:
    """The URL at which a client on this machine reaches the service with these settings."""
    host = LOOPBACK.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def require_free_address(settings: Settings) -> None:
    """Raises `CommandError` if the API can't listen there: the port is taken or not allowed, or the host is wrong."""
    host, port = settings.host, settings.port
    try:
        _bind(host, port).close()
    except socket.gaierror:
        raise CommandError(f"{host} (BOXQUEUE_HOST) is not an address of this machine.") from None
    except OSError as error:
        raise CommandError(_explain(error, host, port)) from None


def free_port(host: str) -> int:
    """A port that is free now. Another process can still take it."""
    with _bind(host, 0) as probe:
        port: int = probe.getsockname()[1]
    return port


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    probe = socket.socket(family, kind, protocol)
    try:
        # The API sets this too: connections of an earlier run, which the kernel still remembers, do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.listen()
    except OSError:
        probe.close()
        raise
    return probe


def _explain(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is taken: stop what listens there, or choose another with BOXQUEUE_PORT."
        case errno.EACCES:
            return f"Port {port} is not allowed for this user: choose one above 1023 with BOXQUEUE_PORT."
        case errno.EADDRNOTAVAIL:
            return f"{host} (BOXQUEUE_HOST) is not an address of this machine."
        case number:
            return f"Can't listen on {host}, port {port}: {os.strerror(number or 0)}."
