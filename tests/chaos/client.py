"""The client of a run: sends the planned requests until each has an answer, and writes the ledger."""

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import httpx

from tests.chaos.ledger import Ledger
from tests.chaos.plan import Request
from tests.poison import MODEL
from tests.poison.pictures import Picture
from tests.services import client
from tests.services.client import OPEN, jobs_of

# A request is tried again for this long; then it counts as never answered.
PATIENCE_SECONDS = 180.0
PAUSE_SECONDS = 0.2
PROBE_PRIORITY = 100


class GaveUp(Exception):
    """The service did not answer for `PATIENCE_SECONDS`, or the run was stopped."""


class Client(client.Client):
    """One connection to the service, for one thread."""

    def __init__(
        self, url: str, ledger: Ledger, stopping: threading.Event, model: str = MODEL, *, answers_known: bool = True
    ) -> None:
        super().__init__(url, timeout=15)
        self._ledger = ledger
        self._stopping = stopping
        self._model = model
        # The right answers are known only for the model of the tests.
        self._answers_known = answers_known

    def open_batch(self, name: str) -> str:
        """Creates a batch. If a response is lost, an empty batch stays, which does no harm."""
        batch_id = super().open_batch(name)
        self._ledger.write([{"type": "batch", "id": batch_id}])
        return batch_id

    def send(self, request: Request, batch_id: str | None, *, priority: int = 0) -> list[str]:
        """Sends a request and writes its jobs into the ledger. Returns their ids; none if the batch is cancelled."""
        started = time.monotonic()
        response = self._post(request, batch_id, priority)
        if response.status_code == 409:
            return []
        found = jobs_of(response)
        took = round(time.monotonic() - started, 3)
        self._ledger.write(
            [
                {
                    "type": "job",
                    "id": job["id"],
                    "key": request.key,
                    "index": index,
                    "batch": batch_id,
                    "kind": picture.kind,
                    "sha256": picture.sha256,
                    "expected": picture.expected if self._answers_known else {"status": "succeeded"},
                    "took_s": took,
                }
                for index, (job, picture) in enumerate(zip(found, request.pictures, strict=True))
            ]
        )
        ids = [job["id"] for job in found]
        if request.again:
            repeated = [job["id"] for job in jobs_of(self._post(request, batch_id, priority, accept=()))]
            self._ledger.write([{"type": "again", "key": request.key, "ids": repeated, "first": ids}])
        return ids

    def cancel_job(self, job_id: str) -> None:
        response = self.request("POST", f"/v1/jobs/{job_id}/cancel", accept=(409,))
        self._ledger.write([{"type": "cancel", "job": job_id, "done": response.status_code == 200}])

    def cancel_batch(self, batch_id: str) -> None:
        # Written before the request: the batch may be cancelled although the answer is lost.
        self._ledger.write([{"type": "cancel", "batch": batch_id}])
        self.request("POST", f"/v1/batches/{batch_id}/cancel")

    def wait_for(self, job_id: str, seconds: float) -> bool:
        """Whether the job is finished within `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            status = self.get(f"/v1/jobs/{job_id}", wait=1)["status"]
            if status not in OPEN:
                return True
            self._stopping.wait(0.05)
        return False

    def load(self) -> tuple[int, int] | None:
        """Number of queued and of running jobs; None if the service does not answer."""
        try:
            response = self.http.get("/v1/queues")
        except httpx.TransportError:
            return None
        if response.status_code != 200:
            return None
        queues = response.json()["queues"]
        return sum(queue["queued"] for queue in queues), sum(queue["running"] for queue in queues)

    def good_job_has_crash(self) -> bool:
        """Whether an open job that should succeed has a crash already."""
        for status in OPEN:
            try:
                response = self.http.get("/v1/jobs", params={"status": status, "limit": 200})
            except httpx.TransportError:
                return False
            if response.status_code != 200:
                return False
            if any(job["deaths"] and self._ledger.should_succeed(job["id"]) for job in response.json()["jobs"]):
                return True
        return False

    def _post(
        self, request: Request, batch_id: str | None, priority: int, accept: tuple[int, ...] = (409,)
    ) -> httpx.Response:
        return self.post_pictures(
            self._model,
            [picture.png for picture in request.pictures],
            batch=batch_id,
            headers={"Idempotency-Key": request.key},
            # A conflict is expected only for a batch: a cancelled one refuses more jobs.
            accept=accept if batch_id else (),
            cache=str(request.cache).lower(),
            priority=str(priority),
            metadata=f'{{"run": "{self._ledger.run}", "key": "{request.key}"}}',
        )

    def request(self, method: str, path: str, *, accept: Collection[int] = (), **rest: Any) -> httpx.Response:
        """Tries until the service answers with something that is not an outage."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and not self._stopping.is_set():
            try:
                response = self.http.request(method, path, **rest)
            except httpx.TransportError:
                self._stopping.wait(PAUSE_SECONDS)
                continue
            if response.status_code < 300:
                return response
            code = _code(response)
            if response.status_code in (429, 503) or code == "idempotency_key_in_flight":
                self._stopping.wait(min(1.0, float(response.headers.get("Retry-After", 1))))
                continue
            if response.status_code in accept:
                return response
            self._ledger.write(
                [{"type": "unexpected", "call": f"{method} {path}", "status": response.status_code, "code": code}]
            )
            raise GaveUp(f"{method} {path} answered {response.status_code} {code}")
        if not self._stopping.is_set():
            self._ledger.write([{"type": "unexpected", "call": f"{method} {path}", "status": 0, "code": "no answer"}])
        raise GaveUp(f"{method} {path} had no answer")


class Submitters:
    """Threads that send the plan, but only as many jobs as `allow` has allowed."""

    def __init__(self, make_client: Callable[[], Client], requests: list[Request], threads: int = 4) -> None:
        self._make_client = make_client
        self._requests = iter(requests)
        self._condition = threading.Condition()
        self._allowed = 0
        self._batches: dict[int, str] = {}
        self._opening = threading.Lock()
        self.faults: list[str] = []
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def allow(self, jobs: int) -> None:
        """Allows the requests before which fewer than `jobs` jobs are planned."""
        with self._condition:
            self._allowed = max(self._allowed, jobs)
            self._condition.notify_all()

    def running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Waits for the last answer and closes the batches."""
        for thread in self._threads:
            thread.join()
        client = self._make_client()
        for batch_id in self._batches.values():
            client.close_batch(batch_id)
        client.close()

    def _run(self) -> None:
        client = self._make_client()
        try:
            while (request := self._next()) is not None:
                try:
                    self._send(client, request)
                except GaveUp as error:
                    self.faults.append(str(error))
        finally:
            client.close()

    def _next(self) -> Request | None:
        with self._condition:
            request = next(self._requests, None)
            if request is not None:
                self._condition.wait_for(lambda: request.first < self._allowed)
            return request

    def _send(self, client: Client, request: Request) -> None:
        batch_id = None if request.batch is None else self._batch(client, request.batch)
        ids = client.send(request, batch_id)
        if request.cancel:
            client.cancel_job(ids[0])
        if request.cancels_batch and batch_id:
            client.cancel_batch(batch_id)

    def _batch(self, client: Client, number: int) -> str:
        with self._opening:
            if number not in self._batches:
                self._batches[number] = client.open_batch(f"chaos {number}")
            return self._batches[number]


def probe(client: Client, key: str, number: int) -> str:
    """Sends one job that goes before all others. Returns its id."""
    request = Request(key, [Picture("good", number)], None, cache=False, again=False, cancel=False)
    return client.send(request, None, priority=PROBE_PRIORITY)[0]


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json().get("code", ""))
    except ValueError:
        return ""
