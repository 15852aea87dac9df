"""A batch on the client's side: open it, send pictures, follow it and read its results."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cli.client import ServiceClient
from cli.errors import CommandError, Refused, RequestFailed
from cli.pictures import UNREADABLE, Picture, Unsent
from cli.results_file import Tally

# Statuses of refusals that are about the pictures of a request, and codes of those that are about all requests.
ABOUT_PICTURES = {400, 413, 415, 422}
ABOUT_ALL = {"unknown_model", "invalid_parameter", "idempotency_key_reused"}
SERVICE_FAILED = "service_failed"
# If the service fails on so many single pictures in a row, they are not the cause.
MAX_FAILED_IN_A_ROW = 32


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
        self._failed_in_a_row = 0
        self.refused = Tally()
        """Pictures that did not become jobs: unreadable here, refused by the service, or the cause of its failure."""
        self.skipped = Tally()
        """Files that are no pictures."""

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

    def _send(self, pictures: Sequence[Picture]) -> int:
        try:
            accepted = self._post(pictures)
        except RequestFailed as failure:
            # The service may have accepted the pictures before it failed. It may also have to start again first.
            accepted = self.progress()["total"] - self._accepted
            if accepted < len(pictures):
                return self._send_fewer(pictures, SERVICE_FAILED, failure)
        except Refused as refusal:
            if refusal.status not in ABOUT_PICTURES or refusal.code in ABOUT_ALL:
                raise
            return self._send_fewer(pictures, refusal.code, refusal)
        self._accepted += accepted
        self._failed_in_a_row = 0
        return accepted

    def _send_fewer(self, pictures: Sequence[Picture], code: str, failure: CommandError) -> int:
        if len(pictures) > 1:
            middle = len(pictures) // 2
            return self._send(pictures[:middle]) + self._send(pictures[middle:])
        self._note(Unsent(pictures[0].source, "failed", code, str(failure)))
        if code == SERVICE_FAILED:
            self._failed_in_a_row += 1
            if self._failed_in_a_row == MAX_FAILED_IN_A_ROW:
                raise CommandError(
                    f"The service failed on {MAX_FAILED_IN_A_ROW} pictures in a row, so something else is wrong with "
                    f"it: look at its log. {failure}"
                )
        return 0

    def _post(self, pictures: Sequence[Picture]) -> int:
        self._requests += 1
        answer = self._client.post_pictures(
            f"/v1/batches/{self.id}/jobs",
            # The name of a file in a form can't hold every character; httpx would send a quote as %22.
            data={**self._options, "source": [picture.source for picture in pictures]},
            files=[("image", (picture.source, picture.content)) for picture in pictures],
            # Repeated requests have the same key, so that no picture becomes two jobs.
            headers={"Idempotency-Key": f"{self.id}-{self._requests}"},
        )
        return len(answer["jobs"])

    def _note(self, item: Unsent) -> None:
        """Counts a file that does not become a job."""
        if item.status == "skipped":
            self.skipped.add(item.code, item.source)
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
