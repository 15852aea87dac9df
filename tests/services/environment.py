"""The environment of a process: it has the settings of the test, and none of the user who runs the tests."""

import os
import secrets
import socket

from jobs.settings import PREFIX, Settings

# Below the ports that the kernel uses for outgoing connections (from 32768 on).
FIRST_PORT, LAST_PORT = 20_000, 32_000


def environment(**settings: object) -> dict[str, str]:
    """The variables of this process, with these settings in place of its own. The names are those of `Settings`."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {PREFIX + name.upper(): str(value) for name, value in settings.items()}


def settings_of(**settings: object) -> Settings:
    """The settings that a process in this environment reads."""
    values = {name: str(value) for name, value in settings.items()}
    return Settings(_env_prefix="NOT_THE_TESTERS_", **values)  # type: ignore[call-arg, arg-type]


def free_port() -> int:
    """A free port of loopback that no outgoing connection takes before a service listens on it."""
    while True:
        port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
