"""The checker counts each broken promise. The service here gives other answers than the ledger promises."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos import checker
from tests.chaos.checker import ZEROS, Finding
from tests.chaos.conductor import Record
from tests.chaos.ledger import Ledger
from tests.chaos.report import verdict
from tests.poison.pictures import Picture

RUN, BATCH = "run-1", "batch-1"


class Service:
    """Replaces the listing of a real service. `jobs` and `batch` are its answers."""

    def __init__(self, jobs: dict[str, dict[str, Any]], batch: dict[str, Any]) -> None:
        self.answers = jobs
        self.batch_said = batch

    def __call__(self, url: str) -> "Service":
        return self

    def wait_until_answered(self, ids: set[str], patience_s: float, progress: Callable[[int], None]) -> set[str]:
        return set()

    def jobs(self, oldest: str, **filters: str) -> Iterator[dict[str, Any]]:
        yield from self.answers.values()

    def job(self, job_id: str) -> dict[str, Any] | None:
        return self.answers.get(job_id)

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        return self.batch_said

    def close(self) -> None:
        """Nothing is open."""


GOOD, POISON, CANCELLED = Picture("good", 70), Picture("hang", 71), Picture("good", 72)


def promise(job_id: str, picture: Picture) -> dict[str, Any]:
    return {
        "type": "job", "id": job_id, "key": f"key-{job_id}", "index": 0, "batch": BATCH, "kind": picture.kind,
        "sha256": picture.sha256, "expected": picture.expected, "took_s": 0.1,
    }  # fmt: skip


def answer(job_id: str, status: str, **rest: Any) -> dict[str, Any]:
    return {
        "id": job_id, "status": status, "deaths": 0, "detections": None, "error": None, "batch_id": BATCH,
        "metadata": {"run": RUN, "key": f"key-{job_id}"},
        "created_at": "2026-01-01T00:00:00.000Z", "finished_at": "2026-01-01T00:00:02.500Z", **rest,
    }  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.jsonl", RUN)
    ledger.write([promise("a", GOOD), promise("b", POISON), promise("c", CANCELLED), {"type": "batch", "id": BATCH}])
    ledger.write([{"type": "cancel", "job": "c", "done": True}])
    yield ledger
    ledger.close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    jobs = {
        "a": answer("a", "succeeded", detections=GOOD.expected["detections"]),
        "b": answer("b", "failed", error={"code": "timed_out"}, deaths=2),
        "c": answer("c", "cancelled"),
    }
    service = Service(jobs, {"total": 3, "succeeded": 1, "failed": 1, "cancelled": 1, "status": "finished"})
    monkeypatch.setattr(checker, "Listing", service)
    return service


def test_a_service_that_kept_its_promises_has_only_zero_counts(service: Service, ledger: Ledger) -> None:
    finding = checker.check("", ledger.path)

    assert not any(finding.counts.values())
    assert (finding.submitted, finding.succeeded, finding.cancelled) == (3, 1, 1)
    assert finding.failed_by_code == {"timed_out": 1}
    assert finding.longest_wait_s == 2.5
    assert verdict(finding, [Record("kill API", "", 1.0, 0.0, 2.0)]) == []


def _gone(service: Service) -> None:
    del service.answers["a"]
    service.batch_said |= {"total": 2, "succeeded": 0}


def _open(service: Service) -> None:
    service.answers["a"] = answer("a", "running")
    service.batch_said["succeeded"] = 0


def _unknown_job(service: Service) -> None:
    service.answers["d"] = service.answers["a"] | {"id": "d"}
    service.batch_said |= {"total": 4, "succeeded": 2}


def _failed(service: Service) -> None:
    service.answers["a"] = answer("a", "failed", error={"code": "worker_lost"})
    service.batch_said |= {"succeeded": 0, "failed": 2}


def _cancelled_without_a_request(service: Service) -> None:
    service.answers["a"] = answer("a", "cancelled")
    service.batch_said |= {"succeeded": 0, "cancelled": 2}


def _finished_although_cancelled(service: Service) -> None:
    service.answers["c"] = answer("c", "succeeded", detections=CANCELLED.expected["detections"])
    service.batch_said |= {"succeeded": 2, "cancelled": 0}


FAULTS: list[tuple[str, Callable[[Service], object]]] = [
    ("lost", _gone),
    ("lost", _open),
    ("duplicated", _unknown_job),
    ("innocent_failed", _failed),
    ("innocent_failed", _cancelled_without_a_request),
    ("guilty_otherwise", lambda service: service.answers["b"].update(error={"code": "picture_missing"})),
    ("wrong_answers", lambda service: service.answers["a"].update(detections=CANCELLED.expected["detections"])),
    ("wrong_answers", lambda service: service.answers["a"].update(detections=[])),
    ("cancel_ignored", _finished_although_cancelled),
    ("deaths_too_many", lambda service: service.answers["b"].update(deaths=3)),
    ("counters_off", lambda service: service.batch_said.update(succeeded=2)),
    ("counters_off", lambda service: service.batch_said.update(status="running")),
]


@pytest.mark.parametrize(("what", "spoil"), FAULTS, ids=[f"{number}-{what}" for number, (what, _) in enumerate(FAULTS)])
def test_each_broken_promise_is_counted(
    service: Service, ledger: Ledger, what: str, spoil: Callable[[Service], object]
) -> None:
    spoil(service)

    finding = checker.check("", ledger.path)

    assert [name for name in ZEROS if finding.counts[name]] == [what]
    assert verdict(finding, [])


def test_a_key_that_gave_other_jobs_for_a_repeated_request_is_counted(service: Service, ledger: Ledger) -> None:
    ledger.write([{"type": "again", "key": "key-a", "first": ["a"], "ids": ["z"]}])

    assert checker.check("", ledger.path).counts["duplicated"] == 1


@pytest.mark.parametrize("recovery_s", [None, 31.0])
def test_a_slow_recovery_is_wrong(recovery_s: float | None) -> None:
    assert verdict(Finding(), [Record("Redis killed", "", 1.0, 2.0, recovery_s)])
