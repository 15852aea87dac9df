"""Long polling: requests that wait for jobs."""

import queue
import threading
from collections.abc import Callable, Collection, Iterator

import pytest
from flask.testing import FlaskClient

import jobs.queue.doorbell
from api import long_polling
from api.long_polling import LongPolling
from api.routes.jobs import preferred_wait
from api.service import Service
from jobs.errors import DatabaseUnavailable
from tests.services.waiting import wait_for
from tests.unit.api.conftest import encoded, form

Work = Callable[..., list[str]]


class Announcements:
    """The announcements of workers, without Redis."""

    def __init__(self) -> None:
        self._queue: queue.Queue[list[str]] = queue.Queue()

    def announce(self, *job_ids: str) -> None:
        self._queue.put(list(job_ids))

    def listen(self, stop: threading.Event) -> Iterator[list[str]]:
        while not stop.is_set():
            try:
                yield self._queue.get(timeout=0.02)
            except queue.Empty:
                yield []


class Waiting:
    """A call of `wait` in a thread of its own."""

    def __init__(self, polling: LongPolling, job_ids: list[str], seconds: float = 30) -> None:
        self.thread = threading.Thread(target=polling.wait, args=(job_ids, seconds), daemon=True)
        self.thread.start()

    def over(self, within: float = 10) -> bool:
        self.thread.join(within)
        return not self.thread.is_alive()


@pytest.fixture
def announcements() -> Announcements:
    return Announcements()


def all_unfinished(job_ids: Collection[str]) -> set[str]:
    return set(job_ids)


def test_a_wait_ends_when_all_jobs_are_announced(announcements: Announcements) -> None:
    polling = LongPolling(announcements.listen, all_unfinished, max_waiting=5)
    waits = Waiting(polling, ["a", "b"])

    announcements.announce("a", "x")
    assert not waits.over(within=0.2)
    announcements.announce("b")

    assert waits.over()
    polling.close()


def test_a_wait_ends_at_once_if_the_jobs_are_finished() -> None:
    polling = LongPolling(Announcements().listen, lambda ids: set(), max_waiting=5)

    assert Waiting(polling, ["a"]).over()
    polling.close()


def test_a_wait_polls_the_database_if_nothing_is_announced(
    announcements: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_polling, "POLL_SECONDS", 0.1)
    queries: list[set[str]] = []
    done: set[str] = set()

    def unfinished(job_ids: Collection[str]) -> set[str]:
        queries.append(set(job_ids))
        return set(job_ids) - done

    polling = LongPolling(announcements.listen, unfinished, max_waiting=5)
    first, second = Waiting(polling, ["a"]), Waiting(polling, ["b"])
    wait_for(lambda: {"a", "b"} in queries, "one query for all requests")
    done.update("ab")

    assert first.over()
    assert second.over()
    polling.close()


def test_a_wait_survives_an_outage_of_the_database(
    announcements: Announcements, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(long_polling, "POLL_SECONDS", 0.05)
    queries = 0

    def unfinished(job_ids: Collection[str]) -> set[str]:
        nonlocal queries
        queries += 1
        if 1 < queries < 4:
            raise DatabaseUnavailable("gone")
        return set(job_ids) if queries < 5 else set()

    polling = LongPolling(announcements.listen, unfinished, max_waiting=5)

    assert Waiting(polling, ["a"]).over()
    assert "gone" in caplog.text
    polling.close()


def test_a_wait_ends_when_the_time_is_up(announcements: Announcements) -> None:
    polling = LongPolling(announcements.listen, all_unfinished, max_waiting=5)

    assert Waiting(polling, ["a"], seconds=0.1).over()
    polling.close()


def test_a_request_above_the_limit_does_not_wait(announcements: Announcements) -> None:
    polling = LongPolling(announcements.listen, all_unfinished, max_waiting=1)
    first = Waiting(polling, ["a"])
    wait_for(lambda: polling._waiting, "the first request")

    assert Waiting(polling, ["b"]).over()
    assert not first.over(within=0.1)
    polling.close()


def test_closing_ends_all_waits(announcements: Announcements) -> None:
    polling = LongPolling(announcements.listen, all_unfinished, max_waiting=5)
    waits = Waiting(polling, ["a"])
    wait_for(lambda: polling._waiting, "the request that waits")

    polling.close()

    assert waits.over()
    assert Waiting(polling, ["b"]).over()


@pytest.fixture
def finished_during_the_wait(service: Service, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job gets its answer right after the first query of the database, which finds it unfinished."""
    query = service.long_polling._unfinished

    def query_and_work(job_ids: Collection[str]) -> set[str]:
        unfinished = query(job_ids)
        work()
        return unfinished

    monkeypatch.setattr(service.long_polling, "_unfinished", query_and_work)
    # There is no Redis here, so the next query finds the answer.
    monkeypatch.setattr(long_polling, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(jobs.queue.doorbell, "RECONNECT_SECONDS", 0.05)


@pytest.mark.usefixtures("finished_during_the_wait")
def test_long_polling_returns_when_the_job_is_finished(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    assert job["status"] == "queued"

    answer = client.get(f"{job['links']['self']}?wait=60")

    assert answer.json["status"] == "succeeded"


def test_long_polling_returns_an_unfinished_job_when_the_time_is_up(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json

    answer = client.get(f"{job['links']['self']}?wait=0.2")

    assert (answer.status_code, answer.json["status"]) == (200, "queued")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("finished_during_the_wait")
def test_prefer_wait_returns_the_finished_job(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "a.png")), headers={"Prefer": "wait=30"})

    assert (answer.status_code, answer.json["status"]) == (200, "succeeded")


def test_prefer_wait_returns_202_when_the_time_is_up(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, waits = service.long_polling.wait, []

    def wait_shortly(job_ids: Collection[str], seconds: float) -> None:
        waits.append(seconds)
        wait(job_ids, seconds / 10)

    monkeypatch.setattr(service.long_polling, "wait", wait_shortly)

    answer = client.post("/v1/jobs", data=form((encoded(), "a.png")), headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert waits == [1]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("respond-async, wait=10", 10),
        ('wait="10"', 10),
        ("wait=9999", 60),
        ("wait=-1", 0),
        ("wait=x", 0),
        ("wait=²", 0),
        ("wait", 0),
        ("handling=strict", 0),
    ],
)
def test_the_wait_is_read_from_the_prefer_header(header: str | None, seconds: float) -> None:
    assert preferred_wait(header) == seconds
