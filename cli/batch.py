"""A batch on the client's side: open it, send pictures, follow it and read its results."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli.client import SERVER_ERROR, ServiceClient
from cli.errors import CommandError, Refused, ServiceUnreachable
from cli.pictures import UNREADABLE, Picture, Unsent, ending_of
from cli.results_file import Failures

# Refusals that are about the pictures of a request; which of them is at fault is found by sending fewer.
_ABOUT_PICTURES = {400, 413, 415, 422}
_ABOUT_ALL = {"unknown_model", "idempotency_key_reused"}
# If the service fails on so many single pictures and has accepted none, they are not the cause.
MAX_FAILURES = 8
_FAILED = "service_failed"


class _GroupFailed(Exception):
    """The service refuses a request or fails on it, and one of its pictures may be the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Batch:
    """One batch of one service."""

    def __init__(
        self,
        client: ServiceClient,
        batch_id: str,
        options: dict[str, str] | None = None,
        on_unsent: Callable[[Unsent], None] = lambda _: None,
    ) -> None:
        """`options`: the form fields of each request (model, priority, min_score). `on_unsent` gets each file that does
        not become a job."""
        self.id = batch_id
        self._client = client
        self._options = options or {}
        self._on_unsent = on_unsent
        self._requests = 0
        self._accepted = 0
        self.refused = Failures()
        """Pictures that did not become jobs: unreadable here, or refused by the service."""
        self.skipped: Counter[str] = Counter()
        """Files that are no pictures, by the ending of their names."""

    @classmethod
    def open(
        cls,
        client: ServiceClient,
        name: str | None,
        options: dict[str, str],
        on_unsent: Callable[[Unsent], None] = lambda _: None,
    ) -> "Batch":
        return cls(client, client.post("/v1/batches", json={"name": name})["id"], options, on_unsent)

    def send(self, group: Sequence[Picture | Unsent]) -> int:
        """Sends the pictures of a group. Returns the number of accepted ones.

        If the service refuses the group or fails on it, smaller ones are sent, until each picture at fault is alone.
        Raises `CommandError` if pictures are not the cause.
        """
        for item in group:
            if isinstance(item, Unsent):
                self._note(item)
        pictures = [item for item in group if isinstance(item, Picture)]
        return self._send(pictures) if pictures else 0

    def _send(self, pictures: list[Picture]) -> int:
        try:
            accepted = self._post(pictures)
        except _GroupFailed as failure:
            if len(pictures) > 1:
                middle = len(pictures) // 2
                return self._send(pictures[:middle]) + self._send(pictures[middle:])
            self._note(Unsent(pictures[0].source, "failed", failure.code, str(failure)))
            if not self._accepted and self.refused.count[_FAILED] >= MAX_FAILURES:
                raise CommandError(
                    f"The service failed on each of the first {MAX_FAILURES} pictures: its log says why. {failure}"
                ) from None
            return 0
        self._accepted += accepted
        return accepted

    def _post(self, pictures: list[Picture]) -> int:
        """Sends one request. Raises `_GroupFailed` if one of the pictures may be the cause."""
        self._requests += 1
        try:
            answer = self._client.post_or_fail(
                f"/v1/batches/{self.id}/jobs",
                # The name of a file in a form can't hold every character; httpx would send a quote as %22.
                data={**self._options, "source": [picture.source for picture in pictures]},
                files=[("image", (picture.source, picture.content)) for picture in pictures],
                # Repeated requests have the same key, so that no picture becomes two jobs.
                headers={"Idempotency-Key": f"{self.id}-{self._requests}"},
            )
            return len(answer["jobs"])
        except Refused as refusal:
            if refusal.status in _ABOUT_PICTURES and refusal.code not in _ABOUT_ALL:
                raise _GroupFailed(refusal.code, str(refusal)) from None
            if refusal.status != SERVER_ERROR:
                raise
            failure: CommandError = refusal
        except ServiceUnreachable as lost:
            if not self._client.is_alive():
                raise
            failure = lost
        if self._were_accepted(pictures):
            return len(pictures)
        raise _GroupFailed(_FAILED, f"The service failed on it: {failure}")

    def _were_accepted(self, pictures: list[Picture]) -> bool:
        """Whether the service has accepted pictures although its answer was lost."""
        return bool(self.progress()["total"] >= self._accepted + len(pictures))

    def _note(self, item: Unsent) -> None:
        """Counts a file that does not become a job."""
        if item.status == "skipped":
            self.skipped[ending_of(item.source)] += 1
        else:
            self.refused.add(item.code, item.source, item.message if item.code == UNREADABLE else "")
        self._on_unsent(item)

    def close(self) -> None:
        self._client.post(f"/v1/batches/{self.id}/close")

    def progress(self) -> dict[str, Any]:
        """The batch as the service shows it."""
        shown: dict[str, Any] = self._client.get(f"/v1/batches/{self.id}")
        return shown

    def results(self) -> Iterator[str]:
        """The finished jobs, each as a line of JSON."""
        return filter(None, self._client.lines(f"/v1/batches/{self.id}/results"))

    def failed(self) -> Iterator[dict[str, Any]]:
        """The failed jobs."""
        return self._client.jobs(batch=self.id, status="failed", limit=100)


def is_over(shown: dict[str, Any]) -> bool:
    """Whether no job is pending: the batch is finished, cancelled, or open with no work left."""
    return shown["status"] in ("finished", "cancelled") or (shown["status"] == "open" and shown["pending"] == 0)
