"""The steps of the benchmark `engine` on one database, and their times."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.database.deep_tables import DIGEST, MODELS, RUNTIME
from jobs import batches, store
from jobs.database import Database
from jobs.queue import claims, recovery, worker_registry
from jobs.queue.claims import HeldClaim, Outcome
from jobs.queue.queries import has_waiting, waiting_runtimes, waiting_versions
from jobs.records import ClaimableModel, DetectionRecord, NewJob, Picture
from jobs.tables import new_id

CLAIM_SIZES = (1, 8)
REPEATS = 10
"""How often each step runs in a round, for each size."""

_DETECTIONS = [DetectionRecord("textbox", 0, score, 10.0, 20.0, 110.0, 60.0) for score in (0.9, 0.8, 0.7)]
Step = Callable[[], Any]


class TimedDatabase:
    """One of the two databases on which the same steps are timed."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.seconds: dict[str, list[float]] = {}
        """Name of a step -> its times."""
        self._worker = new_id()
        self._task = new_id()
        self._batch = batches.create_batch(db, "benchmark").id
        self._held: list[HeldClaim] = []
        self._pictures = 0

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def round(self, size: int) -> Iterator[tuple[str, Step]]:
        """The steps of a round, by name. As many jobs are claimed as are submitted."""
        steps = {
            f"submit of {size}": lambda: self.submit(size),
            f"claim of {size}": lambda: self.claim(size),
            f"finish of {size}": self.finish,
        }
        if size == 1:
            steps |= self.empty_doorbells()
        for name, step in steps.items():
            yield from [(name, step)] * REPEATS
        if size == 1:
            yield from self.other_queries().items()

    def timed(self, name: str, step: Step) -> None:
        started = time.perf_counter()
        step()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def submit(self, size: int) -> None:
        jobs = []
        for _ in range(size):
            self._pictures += 1
            # The leading `f` makes the digest differ from those in the filled tables, so the picture is new.
            picture = Picture(f"{self._pictures:f>64}", "image/jpeg", 640, 480, 50_000)
            jobs.append(NewJob(MODELS[self._pictures % len(MODELS)], DIGEST, RUNTIME, picture, source="picture.jpg"))
        store.submit(self.db, jobs, pipeline=1, batch_id=self._batch)

    def claim(self, size: int) -> None:
        held = self._claim(RUNTIME, dict.fromkeys(MODELS, ClaimableModel(DIGEST, size)))
        assert held is not None
        self._held.append(held)

    def finish(self) -> None:
        held = self._held.pop()
        outcomes = [Outcome(job.id, _DETECTIONS, timings_ms={"inference": 15.0}) for job in held.jobs]
        assert claims.finish(self.db, held, outcomes, device="cpu")

    def empty_doorbells(self) -> dict[str, Step]:
        """Claims that find no job, for each possible reason."""
        reasons: dict[str, tuple[str, dict[str, ClaimableModel]]] = {
            "another runtime": ("tensorflow", dict.fromkeys(MODELS, ClaimableModel(DIGEST, 8))),
            "other models": (RUNTIME, dict.fromkeys(("signs", "stamps", "seals"), ClaimableModel(DIGEST, 8))),
            "other versions": (RUNTIME, dict.fromkeys(MODELS, ClaimableModel("f" * 64, 8))),
        }

        def doorbell(runtime: str, models: dict[str, ClaimableModel]) -> None:
            assert self._claim(runtime, models) is None

        return {f"empty doorbell, {name}": lambda args=args: doorbell(*args) for name, args in reasons.items()}  # type: ignore[misc]

    def other_queries(self) -> dict[str, Step]:
        """The other queries of jobs and claims while the service runs."""
        return {
            "more waiting?": lambda: has_waiting(self.db, RUNTIME, dict.fromkeys(MODELS, ClaimableModel(DIGEST, 8))),
            "sweep: waiting runtimes": lambda: waiting_runtimes(self.db),
            "sweep: waiting versions": lambda: waiting_versions(self.db, RUNTIME, MODELS[0]),
            "sweep: expired claims": lambda: recovery.expire_leases(self.db),
            "progress of a batch": lambda: batches.get_batch(self.db, self._batch),
            "GET /v1/queues": lambda: worker_registry.queues(self.db),
        }

    def _claim(self, runtime: str, models: dict[str, ClaimableModel]) -> HeldClaim | None:
        return claims.claim(self.db, runtime, models, worker_id=self._worker, task_id=self._task, lease_seconds=3600)
