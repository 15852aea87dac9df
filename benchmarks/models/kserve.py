"""The bundled model in a real model server, KServe's, in its own environment; and catalogue entries for it."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from detectors.catalogue import Catalogue
from jobs.settings import ROOT

PYTHON = ROOT / ".venv-isolation" / "kserve" / "bin" / "python"
"""`make test-isolation` makes this environment."""
SERVER = ROOT / "tests" / "isolation" / "kserve_server.py"
START_SECONDS = 100.0


@contextmanager
def served(log: Path) -> Iterator[str]:
    """Runs the server with one thread on loopback. Yields its URL, and stops it at the end.

    Raises `TimeoutError` if it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [PYTHON, SERVER, str(port), ROOT / "weights" / "cards.pt2"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        until = time.monotonic() + START_SECONDS
        while not is_ready(f"{url}/v2/models/cards/ready"):
            if time.monotonic() > until:
                raise TimeoutError(f"KServe did not start within {START_SECONDS:g} s")
            time.sleep(0.2)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def entry(name: str, url: str, protocol: str, options: str) -> str:
    """A catalogue entry for the model on the server. `options` are further lines of the table `server`."""
    bundled = Catalogue.load(ROOT / "weights" / "catalogue.toml").get("cards-pytorch")
    return f"""
[{name}]
runtime = "remote"
format = "{protocol}"
labels = {json.dumps(bundled.labels)}
[{name}.server]
url = "{url}"
model = "cards"
timeout_s = 60
{options}
[{name}.input]
name = "image"
width = {bundled.input.width}
height = {bundled.input.height}
layout = "NHWC"
dtype = "uint8"
[{name}.output]
boxes = "boxes"
scores = "scores"
classes = "classes"
floor_score = {bundled.output.floor_score}
"""
