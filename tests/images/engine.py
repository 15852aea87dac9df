"""The Docker command and Compose, for the tests."""

import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jobs.settings import ROOT
from tests.services.environment import environment, free_port
from tests.services.waiting import wait_for

TAG = os.environ.get("TAG", "test")
BASE = "python:3.11-slim-bookworm"


def docker(*arguments: str, timeout: float = 120) -> str:
    """Runs the command. Returns its output, or fails with its error output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stderr}{done.stdout}"
    return done.stdout.strip()


def image(kind: str) -> str:
    return f"boxqueue/{kind}:{TAG}"


def inspect(what: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("inspect", what))[0]
    return found


def inside(kind: str, command: str, *arguments: str) -> str:
    """The output of a command in a new container of an image, as the image's user, with a read-only file system."""
    alone = ["--rm", "--read-only", "--network", "none", "--entrypoint", command]
    return docker("run", *alone, image(kind), *arguments)


def _compose() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]


class Stack:
    """A separate Compose project of the checkout's compose.yaml. At the end it is removed with its volumes."""

    def __init__(self, models: Path, **variables: str) -> None:
        self.project = f"boxqueue-test-{secrets.token_hex(4)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment(port=self.port, children=1) | {
            "TAG": TAG,
            "MODELS": str(models),
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "REDIS_PASSWORD": secrets.token_hex(16),
            **variables,
        }
        self._command = [*_compose(), "--project-name", self.project, "--file", str(ROOT / "compose.yaml")]

    def compose(self, *arguments: str, timeout: float = 300, environment: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            env=self._environment | (environment or {}),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == 0, f"compose {' '.join(arguments)}\n{done.stderr}{done.stdout}"
        return done.stdout

    def containers(self, service: str | None = None) -> list[str]:
        """Ids of the containers, also of stopped ones."""
        return self.compose("ps", "--quiet", *([service] if service else [])).split()

    def wait_until_healthy(self, *services: str, seconds: float = 180) -> None:
        """Waits until the containers of these services are healthy; by default, all that have a health check."""
        wait_for(lambda: self._healthy(services), f"{self.project}: {', '.join(services) or 'all'} healthy", seconds)

    def _healthy(self, services: tuple[str, ...]) -> bool:
        ids = [container for service in services for container in self.containers(service)] or self.containers()
        states = [inspect(container)["State"] for container in ids]
        return all(state["Health"]["Status"] == "healthy" for state in states if "Health" in state)

    @property
    def database_url(self) -> str:
        """The URL of the API on this machine."""
        [container] = self.containers("postgres")
        [network] = inspect(container)["NetworkSettings"]["Networks"].values()
        return f"postgresql://boxqueue:{self._environment['POSTGRES_PASSWORD']}@{network['IPAddress']}/boxqueue"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20")
