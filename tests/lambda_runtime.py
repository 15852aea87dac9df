"""The runtime API of AWS Lambda on loopback. A function gets events from it and sends its answers to it.

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. The module needs only the standard library, so
that `python3 tests/lambda_runtime.py IMAGE PICTURE` can test an image on any machine with Docker.
"""

import base64
import json
import queue
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

PREFIX = "/2018-06-01/runtime"
ANSWER = re.compile(PREFIX + r"/(?:invocation/(?P<id>[^/]+)/(?P<kind>response|error)|init/error)")
ARN = "arn:aws:lambda:eu-central-1:123456789012:function:boxqueue"
TIMEOUT_SECONDS = 60


class FunctionError(Exception):
    """A function reported an error. `kind` is the class of the exception in the function."""

    def __init__(self, report: Mapping[str, Any]) -> None:
        super().__init__(report["errorMessage"])
        self.kind = report["errorType"]


class LambdaRuntime:
    """Invokes one function. Sends one event after the other."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str | None, str, Any]] = queue.SimpleQueue()
        self._asked = threading.Event()
        handler = type("Handler", (_Handler,), {"runtime": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"
        """The value of AWS_LAMBDA_RUNTIME_API."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def wait_until_asked(self, seconds: float) -> None:
        """Waits until the function has finished its init and requests its first event. Raises `FunctionError`."""
        until = time.monotonic() + seconds
        while not self._asked.wait(0.05):
            if not self._answers.empty():
                raise FunctionError(self._answers.get()[2])
            if time.monotonic() > until:
                raise TimeoutError(f"the function did not ask for an event within {seconds:g} s")

    def invoke(self, event: Any, seconds: float = 120) -> Any:
        """Returns the answer of the function. Raises `FunctionError`."""
        request_id = self.send(event)
        answered, kind, answer = self._answers.get(timeout=seconds)
        if kind == "error":
            raise FunctionError(answer)
        assert answered == request_id
        return answer

    def send(self, event: Any) -> str:
        """Sends an event and does not wait for the answer. Returns the id of the event."""
        request_id = str(uuid.uuid4())
        self._events.put((request_id, json.dumps(event).encode()))
        return request_id

    def next(self) -> tuple[str, bytes] | None:
        self._asked.set()
        return self._events.get()

    def answer(self, request_id: str | None, kind: str, body: bytes) -> None:
        self._answers.put((request_id, kind, json.loads(body)))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    runtime: LambdaRuntime

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        assert self.path == f"{PREFIX}/invocation/next", self.path
        event = self.runtime.next()
        if event is None:
            self.close_connection = True
            return
        request_id, body = event
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + TIMEOUT_SECONDS) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
        }
        self._send(200, body, headers)

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        found = ANSWER.fullmatch(self.path)
        assert found, self.path
        # The function continues only after this response, so the answer is stored before.
        self.runtime.answer(found["id"], found["kind"] or "error", body)
        self._send(202, b"{}", {})

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def request(picture: bytes, media_type: str = "image/png") -> dict[str, Any]:
    """The event of a picture that a client sends to a Function URL."""
    return {
        "version": "2.0",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"content-type": media_type},
        "requestContext": {"http": {"method": "POST", "path": "/"}},
        "body": base64.b64encode(picture).decode(),
        "isBase64Encoded": True,
    }


def main(image: str, picture: str) -> None:
    """Starts an image as Lambda does, without root and with only /tmp writable, and sends it a picture."""
    with LambdaRuntime() as runtime, open(picture, "rb") as file:
        environment = f"AWS_LAMBDA_RUNTIME_API={runtime.address}"
        container = subprocess.run(
            ["docker", "run", "--detach", "--network", "host", "--read-only", "--tmpfs", "/tmp",
             "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--env", environment, image],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        try:
            runtime.wait_until_asked(120)
            job = json.loads(runtime.invoke(request(file.read()))["body"])
        finally:
            subprocess.run(["docker", "logs", container], check=False)
            subprocess.run(["docker", "rm", "--force", container], check=False, capture_output=True)
    if job["status"] != "succeeded" or not job["detections"]:
        sys.exit(f"{image}: {job['status']}, {job['error']}, {job['detections']}")
    sys.stdout.write(f"{image} found {', '.join(found['label'] for found in job['detections'])}.\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
