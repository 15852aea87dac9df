"""A small model server that fails on demand. Its model finds one box in the middle of every picture of 32 × 32.

It follows the specifications of both protocols: https://github.com/kserve/open-inference-protocol and
https://www.tensorflow.org/tfx/serving/api_rest. No package registry has a binary of TensorFlow Serving.
"""

import base64
import io
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

Answer = dict[str, np.ndarray]
SIZE = 32
BOX = [8.0, 8.0, 24.0, 24.0]
SLOW_SECONDS = 30.0
ROUTE = re.compile(r"/v[12]/models/cards(?:/versions/(?P<version>[^/:]+))?(?P<rest>/ready|/infer|:predict|)")

STATUSES = {"400": 400, "404": 404, "429": 429, "500": 500, "502": 502, "503": 503, "504": 504, "redirect": 302}
BODIES = {"not JSON": b"<html>Bad gateway</html>", "no outputs": b"{}", "a list": b"[1, 2]"}
INVALID: dict[str, Callable[[Answer], Answer]] = {
    "NaN": lambda answer: answer | {"scores": answer["scores"] * np.nan},
    "three corners": lambda answer: answer | {"boxes": answer["boxes"][..., :3]},
    "no scores": lambda answer: {name: array for name, array in answer.items() if name != "scores"},
    "a box too few": lambda answer: answer | {"boxes": answer["boxes"][:, :0]},
    "a picture too few": lambda answer: {name: array[1:] for name, array in answer.items()},
    "a picture too many": lambda answer: {name: np.repeat(array, 2, axis=0) for name, array in answer.items()},
    "words": lambda answer: answer | {"scores": np.full(answer["scores"].shape, "high")},
}
FAULTS = ("slow", "drip", "reset", "truncated", "false shape", *STATUSES, *BODIES, *INVALID)


def colour_of(fault: str) -> tuple[int, int, int]:
    """The colour of pictures on which the server has this fault. Pictures of other colours are answered."""
    return (1, 2, FAULTS.index(fault))


class FakeModelServer:
    """A server in a thread of this process. It can be stopped with all its connections, and started again."""

    def __init__(self, *, binary: bool = False, port: int = 0) -> None:
        self.binary = binary
        self.fault: str | None = None
        """The fault of all pictures; None if only pictures of a fault's colour fail."""
        self.state = "AVAILABLE"
        """The state of the only version."""
        self.wait_s = 0.0
        """Seconds that each request takes."""
        self.requests: list[str] = []
        self.answered = 0
        """Number of answered pictures."""
        self.most_at_once = 0
        self.connections: set[socket.socket] = set()
        self.stopping = threading.Event()
        self._at_once = 0
        self._lock = threading.Lock()
        self._port = port
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self.stopping.clear()
        handler = type("Handler", (_Handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def infer(self, pictures: np.ndarray) -> Answer:
        n = len(pictures)
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.wait_s)
        with self._lock:
            self._at_once -= 1
            self.answered += n
        return {
            "boxes": np.tile(np.float32(BOX), (n, 1, 1)),
            "scores": np.full((n, 1), 0.9, np.float32),
            "classes": np.zeros((n, 1), np.int64),
        }

    def fault_of(self, pictures: np.ndarray) -> str | None:
        marked = [FAULTS[colour[2]] for picture in pictures if (colour := picture[0, 0].tolist())[:2] == [1, 2]]
        return self.fault or (marked[0] if marked else None)


CRASHING, FREEZING = (1, 3, 0), (1, 3, 1)


class CrashingModelServer(FakeModelServer):
    """A server for a separate process. A `CRASHING` picture ends the process, and a `FREEZING` one stops it."""

    def fault_of(self, pictures: np.ndarray) -> str | None:
        colours = {tuple(picture[0, 0].tolist()) for picture in pictures}
        if CRASHING in colours:
            os._exit(1)
        if FREEZING in colours:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().fault_of(pictures)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: FakeModelServer

    def setup(self) -> None:
        super().setup()
        self.model.connections.add(self.connection)

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        self.model.connections.discard(self.connection)
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.model.requests.append(self.path)
        route = ROUTE.fullmatch(self.path)
        if self.path == "/v2":
            extensions = ["binary_tensor_data"] if self.model.binary else []
            self._send(200, {"name": "test", "version": "1", "extensions": extensions})
        elif not route or route["version"] not in (None, "1"):
            self._send(404, {"error": f"Servable not found: {self.path}"})
        elif route["rest"] == "/ready":
            self._send(200, {})
        else:
            self._send(200, {"model_version_status": [{"version": "1", "state": self.model.state, "status": {}}]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.model.requests.append(self.path)
        route = ROUTE.fullmatch(self.path)
        if not route or route["version"] not in (None, "1"):
            self._send(404, {"error": f"Servable not found: {self.path}"})
            return
        of_tensors = self.path.startswith("/v2")
        pictures, binary = self._tensor(body) if of_tensors else (_rows(body), False)
        fault = self.model.fault_of(pictures)
        if fault == "reset":
            # With this option the client sees a reset of the connection and not its normal end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.wfile.close()
            self.connection.close()
            self.close_connection = True
        elif fault in STATUSES:
            # The text of an error may contain any character, even NUL.
            self._send(STATUSES[fault], {"error": f"as it was asked to\0: {fault}"})
        elif fault in BODIES:
            self._send_bytes(BODIES[fault])
        else:
            if fault == "slow":
                self.model.stopping.wait(SLOW_SECONDS)
            answer = INVALID.get(fault or "", lambda answer: answer)(self.model.infer(pictures))
            sent = _outputs(answer, fault, binary) if of_tensors else (_predictions(answer, fault), None)
            self._send_bytes(*sent, fault=fault)

    def _tensor(self, body: bytes) -> tuple[np.ndarray, bool]:
        length = int(self.headers.get("Inference-Header-Content-Length", len(body)))
        (tensor,) = json.loads(body[:length])["inputs"]
        if length < len(body):
            return np.frombuffer(body[length:], np.uint8).reshape(tensor["shape"]), True
        return np.array(tensor["data"], np.uint8).reshape(tensor["shape"]), False

    def _send(self, status: int, document: Any) -> None:
        self._send_bytes(json.dumps(document).encode(), status=status)

    def _send_bytes(
        self, body: bytes, json_length: int | None = None, *, status: int = 200, fault: str | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if json_length is not None:
            self.send_header("Inference-Header-Content-Length", str(json_length))
        self.end_headers()
        if fault == "truncated":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault == "drip":
            for byte in body:
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
                time.sleep(0.2)
        else:
            self.wfile.write(body)


def _rows(body: bytes) -> np.ndarray:
    rows = [row["image"] if isinstance(row, dict) and "image" in row else row for row in json.loads(body)["instances"]]
    return np.stack([_decoded(row["b64"]) if isinstance(row, dict) else np.array(row, np.uint8) for row in rows])


def _decoded(encoded: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def _predictions(answer: Answer, fault: str | None) -> bytes:
    rows = [dict(zip(answer, row, strict=True)) for row in zip(*(a.tolist() for a in answer.values()), strict=True)]
    if fault == "false shape":
        rows = [row | {"boxes": [row["boxes"], 1.0]} for row in rows]
    return json.dumps({"predictions": rows}).encode()


def _outputs(answer: Answer, fault: str | None, binary: bool) -> tuple[bytes, int | None]:
    outputs: list[dict[str, Any]] = []
    data = b""
    for name, array in answer.items():
        shape = [2, *array.shape] if fault == "false shape" else list(array.shape)
        datatype = {"f": "FP32", "i": "INT64", "U": "BYTES"}[array.dtype.kind]
        outputs.append({"name": name, "shape": shape, "datatype": datatype})
        if binary and datatype != "BYTES":
            outputs[-1]["parameters"] = {"binary_data_size": array.nbytes}
            data += array.tobytes()
        else:
            outputs[-1]["data"] = array.ravel().tolist()
    header = json.dumps({"model_name": "cards", "outputs": outputs}).encode()
    return header + data, len(header) if binary else None


def main() -> None:
    """`python -m tests.fake_model_server PORT SECONDS`: a server that may crash. Each request takes SECONDS."""
    port, seconds = sys.argv[1:]
    CrashingModelServer(port=int(port)).wait_s = float(seconds)
    signal.pause()


if __name__ == "__main__":
    main()
