"""An HTTP client of a service, as its users have one."""

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

import httpx

from tests.services.waiting import wait_for

Json = dict[str, Any]
OPEN = ("queued", "running")
# A request waits for one minute at most; a worker on a busy machine may need longer to start.
WAIT_SECONDS = 60
ANSWER_SECONDS = 300.0


class Client:
    """One connection to a service. All requests go through `request`: a subclass that retries overrides it."""

    def __init__(self, url: str, timeout: float = 2 * WAIT_SECONDS) -> None:
        self.http = httpx.Client(base_url=url, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def request(self, method: str, path: str, *, accept: Collection[int] = (), **rest: Any) -> httpx.Response:
        """The response. Raises `httpx.HTTPStatusError` for an error status that is not in `accept`."""
        response = self.http.request(method, path, **rest)
        if response.status_code not in accept:
            response.raise_for_status()
        return response

    def get(self, path: str, **parameters: Any) -> Any:
        return self.request("GET", path, params=parameters).json()

    def answers(self, path: str = "/readyz") -> bool:
        """Whether the service answers the path with success."""
        try:
            return self.http.get(path).is_success
        except httpx.TransportError:
            return False

    def post_pictures(
        self,
        model: str,
        pictures: Sequence[bytes],
        *,
        batch: str | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        **form: str,
    ) -> httpx.Response:
        """Sends one request with these pictures, named 0.png, 1.png and so on; into a batch, if `batch` is its id."""
        path = f"/v1/batches/{batch}/jobs" if batch else "/v1/jobs"
        files = [("image", (f"{number}.png", picture, "image/png")) for number, picture in enumerate(pictures)]
        return self.request(
            "POST", path, data={"model": model, **form}, files=files, headers=dict(headers or {}), accept=accept
        )

    def submit(self, model: str, *pictures: bytes, **form: str) -> list[Json]:
        """The jobs of these pictures, without the result cache."""
        return jobs_of(self.post_pictures(model, pictures, **{"cache": "false", **form}))

    def answered(self, job: Json, seconds: float = ANSWER_SECONDS) -> Json:
        """The job, once it has finished or `seconds` have passed."""
        until = time.monotonic() + seconds
        while job["status"] in OPEN and time.monotonic() < until:
            job = self.get(f"/v1/jobs/{job['id']}", wait=WAIT_SECONDS)
        return job

    def detect(self, model: str, picture: bytes, **form: str) -> Json:
        """The finished job of one picture."""
        [job] = self.submit(model, picture, **form)
        return self.answered(job)

    def open_batch(self, name: str) -> str:
        """The id of a new batch."""
        return str(self.request("POST", "/v1/batches", json={"name": name}).json()["id"])

    def close_batch(self, batch: str) -> None:
        # The first try of a repeated request may have closed it.
        self.request("POST", f"/v1/batches/{batch}/close", accept=(409,))

    def batch_of(self, model: str, pictures: Sequence[bytes]) -> str:
        """The id of a closed batch of these pictures, without the result cache."""
        batch = self.open_batch(model)
        self.post_pictures(model, pictures, batch=batch, cache="false")
        self.close_batch(batch)
        return batch

    def results(self, batch: str) -> list[Json]:
        """The jobs of a batch, once it is finished."""
        wait_for(lambda: self.get(f"/v1/batches/{batch}")["finished_at"], f"the end of the batch {batch}")
        return [json.loads(line) for line in self.request("GET", f"/v1/batches/{batch}/results").text.splitlines()]

    def queues(self) -> list[Json]:
        found: list[Json] = self.get("/v1/queues")["queues"]
        return found


def jobs_of(response: httpx.Response) -> list[Json]:
    """The accepted jobs. The answer to a single picture is the job itself, not a list."""
    document = response.json()
    found: list[Json] = document.get("jobs", [document])
    return found
