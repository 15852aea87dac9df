"""Counts broken promises, from a ledger, the service's HTTP and, with a URL of the database, its SQL."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.chaos import ledger
from tests.chaos.listing import Listing
from tests.chaos.rows import check_rows

MOST_DEATHS = 2
# What must be zero, and what it counts.
ZEROS = {
    "lost": "accepted jobs that are gone or not finished",
    "duplicated": "jobs that no client knows, or that one key created twice",
    "innocent_failed": "good pictures that failed, or that were cancelled without a request",
    "guilty_otherwise": "poison that did not fail, or failed with another code",
    "wrong_answers": "detections that do not belong to the picture",
    "cancel_ignored": "jobs that finished although their cancellation was accepted",
    "deaths_too_many": f"jobs with more than {MOST_DEATHS} crashes",
    "counters_off": "batches whose counters differ from their jobs",
    "late_writes": "answers of claims that had ended before",
    "detections_twice": "detections that were written twice, or for a job without an answer",
    "unexpected": "HTTP answers that a client should never see",
}
EXAMPLES = 5


@dataclass
class Finding:
    """What a check found. `examples` has some sentences for each count that is not zero."""

    submitted: int = 0
    succeeded: int = 0
    cancelled: int = 0
    failed_by_code: Counter[str] = field(default_factory=Counter)
    longest_wait_s: float = 0.0
    longest_accept_s: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def note(self, what: str, sentence: str) -> None:
        self.counts[what] += 1
        if len(self.examples.setdefault(what, [])) < EXAMPLES:
            self.examples[what].append(sentence)

    def as_json(self) -> dict[str, Any]:
        return {
            "submitted": self.submitted,
            "succeeded": self.succeeded,
            "failed_by_code": dict(sorted(self.failed_by_code.items())),
            "cancelled": self.cancelled,
            **{name: self.counts[name] for name in ZEROS},
            "longest_wait_s": round(self.longest_wait_s, 2),
            "longest_accept_s": round(self.longest_accept_s, 2),
            "examples": self.examples,
        }


@dataclass
class Promises:
    """The content of a ledger."""

    run: str
    jobs: dict[str, dict[str, Any]]
    batches: list[str]
    cancelled_jobs: dict[str, bool]
    """Id -> whether the service said that it is cancelled."""
    cancelled_batches: set[str]

    @classmethod
    def read(cls, path: Path, finding: Finding) -> "Promises":
        lines = list(ledger.read(path))
        promises = cls(run=lines[0]["run"], jobs={}, batches=[], cancelled_jobs={}, cancelled_batches=set())
        for line in lines[1:]:
            match line["type"]:
                case "job":
                    if line["id"] in promises.jobs:
                        finding.note("duplicated", f"two pictures have the same job {line['id']}")
                    promises.jobs[line["id"]] = line
                case "again" if line["ids"] != line["first"]:
                    finding.note("duplicated", f"the key {line['key']} gave other jobs the second time")
                case "batch":
                    promises.batches.append(line["id"])
                case "cancel" if "job" in line:
                    promises.cancelled_jobs[line["job"]] = line["done"]
                case "cancel":
                    promises.cancelled_batches.add(line["batch"])
                case "unexpected":
                    finding.note("unexpected", f"{line['call']}: {line['status']} {line['code']}")
        return promises


def check(
    url: str,
    path: Path,
    database_url: str | None = None,
    *,
    patience_s: float = 60.0,
    progress: Callable[[int], None] = lambda number: None,
) -> Finding:
    """Waits until the jobs of the ledger are finished, then counts. Calls `progress` with the number of open jobs."""
    finding = Finding()
    promises = Promises.read(path, finding)
    finding.submitted = len(promises.jobs)
    listing = Listing(url)
    try:
        listing.wait_until_answered(set(promises.jobs), patience_s, progress)
        oldest = min(promises.jobs, default="")
        seen = {job["id"]: job for job in listing.jobs(oldest) if job["metadata"].get("run") == promises.run}
        for job_id, promised in promises.jobs.items():
            job = seen.get(job_id) or listing.job(job_id)
            if job is None:
                finding.note("lost", f"{job_id} does not exist")
            else:
                _check_job(finding, promises, promised, job)
        for job_id in seen.keys() - promises.jobs.keys():
            key = seen[job_id]["metadata"].get("key")
            finding.note("duplicated", f"no client knows {job_id}, which the key {key} created")
        for batch_id in promises.batches:
            _check_batch(finding, batch_id, listing.batch(batch_id), seen)
    finally:
        listing.close()
    if database_url:
        check_rows(finding.note, database_url, promises.jobs)
    return finding


def _check_job(finding: Finding, promises: Promises, promised: dict[str, Any], job: dict[str, Any]) -> None:
    job_id, status, expected = job["id"], job["status"], promised["expected"]
    finding.longest_accept_s = max(finding.longest_accept_s, promised["took_s"])
    if status in ("queued", "running"):
        finding.note("lost", f"{job_id} is still {status}")
        return
    if job["deaths"] > MOST_DEATHS:
        finding.note("deaths_too_many", f"{job_id} ({promised['kind']}) has {job['deaths']} crashes")
    if status == "cancelled":
        finding.cancelled += 1
        if job_id not in promises.cancelled_jobs and promised["batch"] not in promises.cancelled_batches:
            finding.note("innocent_failed", f"{job_id} ({promised['kind']}) is cancelled without a request")
        return
    finding.longest_wait_s = max(finding.longest_wait_s, _seconds(job["created_at"], job["finished_at"]))
    if promises.cancelled_jobs.get(job_id):
        finding.note("cancel_ignored", f"{job_id} was cancelled and has {status}")
    code = job["error"]["code"] if status == "failed" else None
    if code is None:
        finding.succeeded += 1
    else:
        finding.failed_by_code[code] += 1
    if expected["status"] == "failed":
        if code not in expected["codes"]:
            finding.note("guilty_otherwise", f"{job_id} ({promised['kind']}): {code or status}")
    elif code is not None:
        finding.note("innocent_failed", f"{job_id} ({promised['kind']}): {code}, {job['deaths']} crashes")
    elif "detections" in expected and not _same(expected["detections"], job["detections"]):
        finding.note("wrong_answers", f"{job_id}: {job['detections']}, not {expected['detections']}")


def _check_batch(
    finding: Finding, batch_id: str, batch: dict[str, Any] | None, seen: dict[str, dict[str, Any]]
) -> None:
    if batch is None:
        finding.note("lost", f"the batch {batch_id} does not exist")
        return
    members = Counter(job["status"] for job in seen.values() if job["batch_id"] == batch_id)
    counted = {name: batch[name] for name in ("succeeded", "failed", "cancelled")}
    real = {name: members[name] for name in counted}
    if batch["status"] not in ("finished", "cancelled"):
        finding.note("counters_off", f"the batch {batch_id} is {batch['status']}, although its jobs are finished")
    if counted != real or batch["total"] != members.total():
        finding.note("counters_off", f"the batch {batch_id} says {counted} of {batch['total']}, its jobs say {real}")


def _same(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> bool:
    return [(one["label"], one["score"], one["box"]) for one in expected] == [
        (one["label"], one["score"], one["box"]) for one in found
    ]


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
