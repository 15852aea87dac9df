"""Requests that wait for a job."""

import queue
import threading
from collections.abc import Callable, Collection, Iterator

import pytest
from flask.testing import FlaskClient

import jobs.queue.doorbell
from api import waiting
from api.routes.jobs import preferred_wait
from api.service import Service
from api.waiting import Waiters
from jobs.errors import DatabaseUnavailable
from tests.services.waiting import wait_for
from tests.unit.api.conftest import encoded, form

Work = Callable[..., list[str]]


class Announcements:
    """What a worker announces, without a Redis."""

    def __init__(self) -> None:
        self._queue: queue.Queue[list[str]] = queue.Queue()

    def say(self, *job_ids: str) -> None:
        self._queue.put(list(job_ids))

    def listen(self, stop: threading.Event) -> Iterator[list[str]]:
        while not stop.is_set():
            try:
                yield self._queue.get(timeout=0.02)
            except queue.Empty:
                yield []


class Waiting:
    """A `wait` in a thread of its own."""

    def __init__(self, waiters: Waiters, job_ids: list[str], seconds: float = 30) -> None:
        self.thread = threading.Thread(target=waiters.wait, args=(job_ids, seconds), daemon=True)
        self.thread.start()

    def over(self, within: float = 10) -> bool:
        self.thread.join(within)
        return not self.thread.is_alive()


@pytest.fixture
def announcements() -> Announcements:
    return Announcements()


def all_unfinished(job_ids: Collection[str]) -> set[str]:
    return set(job_ids)


def test_ends_when_all_are_announced(announcements: Announcements) -> None:
    waiters = Waiters(announcements.listen, all_unfinished, most=5)
    waits = Waiting(waiters, ["a", "b"])

    announcements.say("a", "x")
    assert not waits.over(within=0.2)
    announcements.say("b")

    assert waits.over()
    waiters.close()


def test_ends_at_once_where_the_answer_is_there() -> None:
    waiters = Waiters(Announcements().listen, lambda ids: set(), most=5)

    assert Waiting(waiters, ["a"]).over()
    waiters.close()


def test_ends_by_the_database_where_nothing_is_announced(
    announcements: Announcements, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.1)
    asked: list[set[str]] = []
    done: set[str] = set()

    def unfinished(job_ids: Collection[str]) -> set[str]:
        asked.append(set(job_ids))
        return set(job_ids) - done

    waiters = Waiters(announcements.listen, unfinished, most=5)
    first, second = Waiting(waiters, ["a"]), Waiting(waiters, ["b"])
    wait_for(lambda: {"a", "b"} in asked, "one question for all who wait")
    done.update("ab")

    assert first.over()
    assert second.over()
    waiters.close()


def test_outage_of_the_database_is_waited_out(
    announcements: Announcements, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.05)
    asked = 0

    def unfinished(job_ids: Collection[str]) -> set[str]:
        nonlocal asked
        asked += 1
        if 1 < asked < 4:
            raise DatabaseUnavailable("gone")
        return set(job_ids) if asked < 5 else set()

    waiters = Waiters(announcements.listen, unfinished, most=5)

    assert Waiting(waiters, ["a"]).over()
    assert "gone" in caplog.text
    waiters.close()


def test_ends_when_the_time_is_up(announcements: Announcements) -> None:
    waiters = Waiters(announcements.listen, all_unfinished, most=5)

    assert Waiting(waiters, ["a"], seconds=0.1).over()
    waiters.close()


def test_those_above_the_cap_do_not_wait(announcements: Announcements) -> None:
    waiters = Waiters(announcements.listen, all_unfinished, most=1)
    first = Waiting(waiters, ["a"])
    wait_for(lambda: waiters._waiters, "the first")

    assert Waiting(waiters, ["b"]).over()
    assert not first.over(within=0.1)
    waiters.close()


def test_closing_lets_everybody_go(announcements: Announcements) -> None:
    waiters = Waiters(announcements.listen, all_unfinished, most=5)
    waits = Waiting(waiters, ["a"])
    wait_for(lambda: waiters._waiters, "the one that waits")

    waiters.close()

    assert waits.over()
    assert Waiting(waiters, ["b"]).over()


@pytest.fixture
def done_while_it_waits(service: Service, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every job gets its answer right after the first look into the database, which did not see it yet."""
    look = service.waiters._unfinished

    def look_and_work(job_ids: Collection[str]) -> set[str]:
        found = look(job_ids)
        work()
        return found

    monkeypatch.setattr(service.waiters, "_unfinished", look_and_work)
    # Redis is away here, so it is the next look that finds it.
    monkeypatch.setattr(waiting, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(jobs.queue.doorbell, "RECONNECT_SECONDS", 0.05)


@pytest.mark.usefixtures("done_while_it_waits")
def test_long_poll_answers_when_the_job_is_finished(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json
    assert job["status"] == "queued"

    answer = client.get(f"{job['links']['self']}?wait=60")

    assert answer.json["status"] == "succeeded"


def test_long_poll_answers_with_what_there_is(client: FlaskClient) -> None:
    job = client.post("/v1/jobs", data=form((encoded(), "a.png"))).json

    answer = client.get(f"{job['links']['self']}?wait=0.2")

    assert (answer.status_code, answer.json["status"]) == (200, "queued")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.usefixtures("done_while_it_waits")
def test_prefer_wait_answers_with_the_finished_job(client: FlaskClient) -> None:
    answer = client.post("/v1/jobs", data=form((encoded(), "a.png")), headers={"Prefer": "wait=30"})

    assert (answer.status_code, answer.json["status"]) == (200, "succeeded")


def test_prefer_wait_answers_202_where_it_does_not_come(
    client: FlaskClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, asked = service.waiters.wait, []

    def wait_shortly(job_ids: Collection[str], seconds: float) -> None:
        asked.append(seconds)
        wait(job_ids, seconds / 10)

    monkeypatch.setattr(service.waiters, "wait", wait_shortly)

    answer = client.post("/v1/jobs", data=form((encoded(), "a.png")), headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.json["status"]) == (202, "queued")
    assert asked == [1]


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
def test_preferred_wait(header: str | None, seconds: float) -> None:
    assert preferred_wait(header) == seconds
