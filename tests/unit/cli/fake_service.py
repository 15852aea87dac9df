"""A service over HTTP that finishes every picture at once, and fails on demand."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flask import Flask, Response, request
from werkzeug.serving import make_server

TERMINAL = ("succeeded", "failed", "cancelled")


class FakeService:
    """A picture whose name contains `bad` fails. Every other picture has one detection."""

    def __init__(self) -> None:
        self.batches: dict[str, dict[str, Any]] = {}
        self.jobs: list[dict[str, Any]] = []
        # Of each upload that reached the service: its key, its form fields and the names of its pictures.
        self.uploads: list[tuple[str, dict[str, str], list[str]]] = []
        self.seen: list[str] = []
        # The faults of the next uploads, in their order; None is no fault.
        self.faults: list[Callable[[], Response] | None] = []
        # The pending pictures of a batch at each of the next requests for it; zero afterwards.
        self.pending: list[int] = []
        # What happens to every upload with a picture whose name contains `guilty`.
        self.guilty: Callable[[], Response] | None = None
        self.most_pictures = 1000
        # How often `/readyz` answers that the service is not ready.
        self.not_ready = 0
        self.lost_results = 0
        self._answers: dict[str, Any] = {}
        self.url = ""

    def app(self) -> Flask:
        app = Flask("fake")
        app.before_request(lambda: self.seen.append(f"{request.method} {request.path}"))
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", "/readyz", self._readiness),
            ("GET", "/version", lambda: {"commit": "abc", "version": "9.9"}),
            ("GET", "/v1/models", lambda: {"models": [MODEL]}),
            ("GET", "/v1/queues", lambda: {"queues": [QUEUE]}),
            ("POST", "/v1/batches", self._open),
            ("GET", "/v1/batches/<batch_id>", self._shown),
            ("POST", "/v1/batches/<batch_id>/close", lambda batch_id: self._end(batch_id, "closed")),
            ("POST", "/v1/batches/<batch_id>/cancel", lambda batch_id: self._end(batch_id, "cancelled")),
            ("POST", "/v1/batches/<batch_id>/jobs", self._upload),
            ("GET", "/v1/batches/<batch_id>/results", self._results),
            ("GET", "/v1/jobs", self._list),
            ("GET", "/v1/jobs/<job_id>", self._job),
        ]
        for method, path, answer in routes:
            app.add_url_rule(path, endpoint=f"{method} {path}", view_func=answer, methods=[method])
        return app

    def _readiness(self) -> tuple[dict[str, Any], int]:
        self.not_ready -= 1
        return ({}, 503) if self.not_ready >= 0 else ({}, 200)

    def _open(self) -> tuple[dict[str, Any], int]:
        batch_id = f"batch-{len(self.batches) + 1}"
        self.batches[batch_id] = {"name": request.get_json()["name"], "ended": None}
        return self._shown(batch_id), 201

    def _shown(self, batch_id: str) -> Any:
        batch = self.batches.get(batch_id)
        if batch is None:
            return problem(404, "not_found", f"There is no batch {batch_id}.")
        mine = [job for job in self.jobs if job["batch_id"] == batch_id]
        count = {status: sum(job["status"] == status for job in mine) for status in TERMINAL}
        pending = self.pending.pop(0) if self.pending and batch["ended"] == "closed" else 0
        status = {None: "open", "closed": "finished", "cancelled": "cancelled"}[batch["ended"]]
        times = dict.fromkeys(("created_at", "closed_at", "cancelled_at", "finished_at"))
        return {
            "id": batch_id,
            "name": batch["name"],
            "status": "running" if pending else status,
            "total": len(mine),
            "pending": pending,
            **count,
            "rate_per_s": None,
            "eta_s": None,
            **times,
        }

    def _end(self, batch_id: str, how: str) -> Any:
        self.batches[batch_id]["ended"] = how
        return self._shown(batch_id)

    def _upload(self, batch_id: str) -> Any:
        files = request.files.getlist("image")
        names = request.form.getlist("source") or [file.filename or "" for file in files]
        fault = self.faults.pop(0) if self.faults else None
        key = request.headers["Idempotency-Key"]
        options = {name: value for name, value in request.form.items() if name != "source"}
        self.uploads.append((key, options, names))
        if len(files) > self.most_pictures:
            return problem(413, "too_many_pictures", "There are too many pictures in one request.")
        if self.guilty and any("guilty" in name for name in names):
            return self.guilty()
        if fault is not None and fault is not lost_answer:
            return fault()
        if key not in self._answers:
            made = [self._new_job(batch_id, name) for name in names]
            self.jobs += made
            self._answers[key] = {"jobs": made}
        return (self._answers[key], 202) if fault is None else fault()

    def _new_job(self, batch_id: str, name: str) -> dict[str, Any]:
        bad = "bad" in name
        return {
            "id": f"job-{len(self.jobs) + 1}-{name}",
            "status": "failed" if bad else "succeeded",
            "model": "cards",
            "batch_id": batch_id,
            "source": name,
            "priority": 0,
            "deaths": 0,
            "device": "cpu",
            "detections": None if bad else [{"label": "textbox", "score": 0.9, "box": [1, 2, 3, 4]}],
            "error": {"code": "picture_empty", "message": "The file is empty."} if bad else None,
            "timings_ms": {"decode": 3, "inference": 15, "total": 34},
            "links": {"annotated": f"/v1/jobs/{name}/annotated"},
            **dict.fromkeys(("created_at", "started_at", "finished_at")),
        }

    def _results(self, batch_id: str) -> Response:
        mine = [job for job in self.jobs if job["batch_id"] == batch_id]
        lines = [json.dumps(job) + "\n" for job in mine[self.lost_results :]]
        return Response(iter(lines), mimetype="application/jsonl")

    def _list(self) -> dict[str, Any]:
        wanted = {name: request.args[name] for name in ("status", "model") if name in request.args}
        if "batch" in request.args:
            wanted["batch_id"] = request.args["batch"]
        found = [job for job in self.jobs if wanted.items() <= job.items()]
        begin, limit = int(request.args.get("cursor", 0)), 2
        more = begin + limit < len(found)
        query = "&".join(f"{name}={value}" for name, value in {**request.args, "cursor": begin + limit}.items())
        return {"jobs": found[begin : begin + limit], "next": f"/v1/jobs?{query}" if more else None}

    def _job(self, job_id: str) -> Any:
        found = next((job for job in self.jobs if job["id"] == job_id), None)
        return found or problem(404, "not_found", f"There is no job {job_id}.")


Service = TypeVar("Service", bound=FakeService)

MODEL = {
    "name": "cards",
    "runtime": "pytorch",
    "format": "pt2",
    "labels": ["textbox"],
    "licence": "MIT",
    "aliases": ["forms"],
    "available": True,
}
QUEUE = {
    "runtime": "pytorch",
    "queued": 7,
    "oldest_s": 3.2,
    "rate_per_s": 0.0,
    "running": 2,
    "late": 0,
    "workers": 0,
    "workers_lost": 1,
    "no_worker": True,
    "unserved": [{"model": "cards", "digest": "d" * 64, "current": True, "queued": 7}],
    "outages": [],
    "full_up_to_priority": None,
    "doorbells": 1,
}


def problem(status: int, code: str, detail: str, **headers: str) -> Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "code": code}
    return Response(json.dumps(body), status, headers, mimetype="application/problem+json")


def busy() -> Response:
    return problem(429, "queue_full", "Too much at once.", **{"Retry-After": "0.1"})


def full() -> Response:
    detail = "The queue pytorch is full: 9 jobs of priority -10 or higher wait. Send the same request again in 1 s."
    return problem(429, "queue_full", detail, **{"Retry-After": "1"})


def interrupt_soon() -> Response:
    """The user presses Ctrl-C while the upload waits for room."""
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    return problem(429, "queue_full", "The queue is full.", **{"Retry-After": "60"})


def away() -> Response:
    return problem(503, "database_unavailable", "The database does not answer.", **{"Retry-After": "0.1"})


def bad_gateway() -> Response:
    """The service restarts behind its proxy."""
    return Response("<html>Bad gateway</html>", 502)


def lost_answer() -> Response:
    """The service accepted the upload, but the connection broke before its answer."""
    request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return Response()


def crashed() -> Response:
    """The service fails on the upload."""
    return problem(500, "internal_error", "The server encountered an internal error.")


def unsupported() -> Response:
    return problem(415, "picture_unsupported", "A picture of the request is not read.")


def interrupt() -> Response:
    """The user presses Ctrl-C during the upload."""
    os.kill(os.getpid(), signal.SIGINT)
    return busy()


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """The URL at which an application answers."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def running(service: Service) -> Iterator[Service]:
    with serving(service.app()) as service.url:
        yield service
