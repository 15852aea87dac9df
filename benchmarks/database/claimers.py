"""Claimers: threads that claim and finish jobs like workers, but have no model. They show how many workers one database
serves."""

import multiprocessing
import statistics
import threading
import time
from dataclasses import dataclass
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import psutil

from benchmarks.database.deep_tables import DIGEST, MODELS, RUNTIME
from jobs.database import Database
from jobs.queue import claims
from jobs.queue.claims import Outcome
from jobs.records import ClaimableModel, DetectionRecord
from jobs.tables import new_id

MAX_PROCESSES = 4
"""The claimers are threads of at most this many processes. Threads suffice, because a claimer mostly waits for the
database."""
_DETECTIONS = [DetectionRecord("textbox", 0, score, 10.0, 20.0, 110.0, 60.0) for score in (0.9, 0.8, 0.7)]


@dataclass(frozen=True)
class Measurement:
    """The work of all claimers together. A cycle is a claim and its finish."""

    claimers: int
    size: int
    cycles: int
    seconds: float
    claim_ms: float
    """Median time of one claim, as a worker sees it."""
    client_cpu_ms: float
    """CPU time of the claimers for each cycle."""
    database_cpu_ms: float
    """CPU time of all processes of the server for each cycle."""

    @property
    def cycles_per_s(self) -> float:
        return self.cycles / self.seconds

    @property
    def pictures_per_s(self) -> float:
        return self.cycles_per_s * self.size


class QueueEmpty(Exception):
    """The queue had no more jobs before the time was over."""


def measure(url: str, server: psutil.Process, claimers: int, size: int, seconds: float) -> Measurement:
    """Runs the claimers for `seconds`. Raises `QueueEmpty` if they claim all jobs before that."""
    context = multiprocessing.get_context("spawn")
    processes = min(claimers, MAX_PROCESSES)
    # Barriers: 1. all claimers are connected; 2. all have stopped but are still connected; 3. their CPU times are read.
    barriers = [context.Barrier(processes + 1) for _ in range(3)]
    results: Queue[tuple[list[float], float, bool]] = context.Queue()
    started = [
        context.Process(target=_run_claimers, args=(url, claimers // processes, size, seconds, barriers, results))
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    connected, stopped, read = barriers
    connected.wait()
    begin, before = time.perf_counter(), _cpu_seconds(server)
    stopped.wait()
    took, after = time.perf_counter() - begin, _cpu_seconds(server)
    read.wait()
    found = [results.get() for _ in started]
    for process in started:
        process.join()
    if any(ran_out for _, _, ran_out in found):
        raise QueueEmpty
    claimed = [duration for durations, _, _ in found for duration in durations]
    return Measurement(
        claimers=claimers,
        size=size,
        cycles=len(claimed),
        seconds=took,
        claim_ms=1000 * statistics.median(claimed),
        client_cpu_ms=1000 * sum(cpu for _, cpu, _ in found) / len(claimed),
        database_cpu_ms=1000 * (after - before) / len(claimed),
    )


def _cpu_seconds(server: psutil.Process) -> float:
    """CPU time of the server and its child processes."""
    total = 0.0
    for process in [server, *server.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _run_claimers(
    url: str,
    threads: int,
    size: int,
    seconds: float,
    barriers: list[Barrier],
    results: "Queue[tuple[list[float], float, bool]]",
) -> None:
    """Runs in each process: starts the claimers and puts their durations, CPU time and `ran_out` into `results`."""
    db = Database(url, pool_size=threads)
    durations: list[list[float]] = [[] for _ in range(threads)]
    ran_out = threading.Event()
    ready = threading.Barrier(threads + 1)
    claimers = [
        threading.Thread(target=_claim_and_finish, args=(db, size, seconds, ready, durations[number], ran_out))
        for number in range(threads)
    ]
    for claimer in claimers:
        claimer.start()
    ready.wait()  # Each claimer is connected, and has claimed and finished once.
    connected, stopped, read = barriers
    connected.wait()
    before = time.process_time()
    ready.wait()
    for claimer in claimers:
        claimer.join()
    used = time.process_time() - before
    stopped.wait()
    read.wait()
    results.put(([duration for some in durations for duration in some], used, ran_out.is_set()))
    db.close()


def _claim_and_finish(
    db: Database, size: int, seconds: float, ready: threading.Barrier, durations: list[float], ran_out: threading.Event
) -> None:
    """Runs in the thread of each claimer."""
    worker = new_id()
    models = dict.fromkeys(MODELS, ClaimableModel(DIGEST, size))

    def cycle() -> float | None:
        begin = time.perf_counter()
        held = claims.claim(db, RUNTIME, models, worker_id=worker, task_id=worker, lease_seconds=3600)
        took = time.perf_counter() - begin
        if held is None:
            return None
        outcomes = [Outcome(job.id, _DETECTIONS, timings_ms={"inference": 15.0}) for job in held.jobs]
        claims.finish(db, held, outcomes, device="cpu")
        return took

    cycle()
    ready.wait()
    ready.wait()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        took = cycle()
        if took is None:
            ran_out.set()
            return
        durations.append(took)
