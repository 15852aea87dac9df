"""A stand-in for the Azure Functions host: it starts the custom handler of `host.json`, and calls it as the bindings of
the functions say.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers, and the code of the host for two
details: bodies are chunked, and text in Data and Metadata is encoded as JSON twice.
"""

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from jobs.settings import ROOT
from tests.services.environment import free_port
from tests.services.waiting import wait_for

FOLDER = ROOT / "serverless" / "azure_functions"
START_SECONDS = 200.0


class InvocationFailed(Exception):
    """The function failed. The real host delivers again, or moves the message into the poison queue."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status}: {problem}")
        self.status = status
        self.problem = problem


def settings() -> dict[str, Any]:
    """Returns the content of `host.json`."""
    read: dict[str, Any] = json.loads((FOLDER / "host.json").read_text())
    return read


def functions() -> dict[str, list[dict[str, Any]]]:
    """Name of each function -> its bindings."""
    files = FOLDER.glob("*/function.json")
    return {file.parent.name: json.loads(file.read_text())["bindings"] for file in files}


@dataclass(frozen=True)
class FunctionResult:
    """The result of a function."""

    outputs: dict[str, bytes]
    """Path of each blob -> its content."""
    logs: list[str]


class FunctionsHost:
    """Sends requests to a custom handler."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def http(self, function: str, body: bytes, *, headers: Mapping[str, str], **query: str) -> httpx.Response:
        """Forwards a request of a client unchanged. The function has only an HTTP trigger."""
        assert settings()["customHandler"]["enableForwardingHttpRequest"]
        types = [binding["type"] for binding in functions()[function]]
        assert types == ["httpTrigger", "http"]
        # The host has checked the key of the function, and passes it on.
        query |= {"code": "the-key-of-the-function"}
        return self._client.post(f"/api/{function}", params=query, headers=dict(headers), content=iter([body]))

    def blob(self, function: str, uri: str, name: str, content: bytes) -> FunctionResult:
        """Calls a function for a blob that was written."""
        trigger = _trigger(function, "blobTrigger")
        assert trigger["dataType"] == "binary"
        metadata = {
            "Uri": json.dumps(uri),
            "name": json.dumps(name),
            "Properties": {"ContentLength": len(content), "LastModified": "2026-11-29T18:20:00+00:00"},
            "Metadata": {},
            "sys": {"MethodName": function, "UtcNow": "2026-11-29T18:21:00Z", "RandGuid": "d1b6"},
        }
        return self._invoke(function, {trigger["name"]: base64.b64encode(content).decode()}, metadata, {"name": name})

    def message(self, function: str, message: Any, message_id: str) -> FunctionResult:
        """Calls a function for a message of the queue, whose text is `message` as JSON."""
        trigger = _trigger(function, "queueTrigger")
        metadata = {
            "Id": json.dumps(message_id),
            "DequeueCount": "1",
            "InsertionTime": json.dumps("2026-11-29T18:20:00+00:00"),
            "PopReceipt": json.dumps("AgAAAAMAAAAAAAAAAgtnj8x+1QE="),
            "sys": {"MethodName": function, "UtcNow": "2026-11-29T18:21:00Z", "RandGuid": "d1b6"},
        }
        data = {trigger["name"]: json.dumps(json.dumps(message))}
        return self._invoke(function, data, metadata, {"id": message_id})

    def post(self, function: str, body: bytes) -> httpx.Response:
        """Posts any body to a function."""
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return self._client.post(f"/{function}", headers=headers, content=iter([body]))

    def _invoke(
        self, function: str, data: dict[str, str], metadata: dict[str, Any], expressions: dict[str, str]
    ) -> FunctionResult:
        response = self.post(function, json.dumps({"Data": data, "Metadata": metadata}).encode())
        if not response.is_success:
            raise InvocationFailed(response.status_code, response.json())
        answer = response.json()
        outputs = {}
        for name, value in answer["Outputs"].items():
            (binding,) = (one for one in functions()[function] if one["name"] == name)
            assert (binding["direction"], binding["type"]) == ("out", "blob")
            outputs[binding["path"].format(**expressions)] = value.encode()
        return FunctionResult(outputs, answer["Logs"])


class RunningHandler(FunctionsHost):
    """A custom handler that the tests have started."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", start_seconds: float) -> None:
        # The real host waits for 100 s. A busy machine may take longer.
        super().__init__(httpx.Client(base_url=url, timeout=250, trust_env=False))
        self._process = process
        self.start_seconds = start_seconds
        """Seconds from the start of the process to its first answer, with the model loaded."""

    def children(self) -> list[int]:
        """Process ids of the children. One of them has the model."""
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def memory_mb(self) -> float:
        """Memory of all processes in MB. Shared memory counts once."""
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (self._process.pid, *self.children())]
        lines = [line for rollup in rollups for line in rollup.splitlines() if line.startswith("Pss:")]
        return sum(int(line.split()[1]) for line in lines) / 1e3


@contextmanager
def started(python: Path, environment: Mapping[str, str], log: Path) -> Iterator[RunningHandler]:
    """Starts the custom handler with this interpreter in place of the one on the PATH."""
    handler = settings()["customHandler"]["description"]
    assert handler["defaultExecutablePath"] == "python"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, *handler["arguments"]],
            cwd=FOLDER,
            env={**environment, "FUNCTIONS_CUSTOMHANDLER_PORT": str(port), "FUNCTIONS_WORKER_RUNTIME": "custom"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(lambda: process.poll() is not None or listens(url), "the custom handler", START_SECONDS)
        assert process.poll() is None, log.read_text()
        yield RunningHandler(url, process, time.monotonic() - began)
    finally:
        process.terminate()
        process.wait(timeout=40)


def _trigger(function: str, kind: str) -> dict[str, Any]:
    (trigger,) = (binding for binding in functions()[function] if binding["type"] == kind)
    return trigger


def listens(url: str) -> bool:
    """Whether anything answers there."""
    try:
        httpx.get(url, timeout=START_SECONDS, trust_env=False)
    except httpx.TransportError:
        return False
    return True
