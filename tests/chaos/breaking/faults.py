"""The faults: each is applied to the service, held for some time, and lifted."""

import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.service import Service


@dataclass(frozen=True)
class Fault:
    """`apply` returns the name of the victim. After `hold_s` seconds, `lift` ends the fault."""

    name: str
    apply: Callable[[], str]
    hold_s: float = 0.0
    lift: Callable[[], None] | None = None
    counts: bool = False
    """A job that the victim held alone gets a crash."""


class Faults:
    """Makes faults for a service. `chance` chooses the victims and the times."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self._service = service
        self._chance = chance

    def kill_child(self) -> Fault:
        return Fault(
            "kill worker child",
            lambda: self._signal(self._service.children(self._service.workers()), signal.SIGKILL),
            counts=True,
        )

    def kill_parent(self) -> Fault:
        return Fault("kill worker parent", lambda: self._signal(self._service.workers(), signal.SIGKILL))

    def kill_worker(self) -> Fault:
        """Parent and children at once, like the end of a container."""
        return Fault("kill whole worker", lambda: self._signal_group(self._service.workers(), signal.SIGKILL))

    def kill_api(self) -> Fault:
        return Fault("kill API", lambda: self._signal_group(self._service.parents("-m api"), signal.SIGKILL))

    def kill_supervisor(self) -> Fault:
        programs_too = self._chance.random() < 0.5

        def apply() -> str:
            self._service.kill_supervisor(programs_too)
            self._service.start_supervisor()
            return "programs killed too" if programs_too else "programs terminated"

        return Fault("kill supervisor", apply)

    def freeze_worker(self) -> Fault:
        """The whole process group, until its leases have expired and other workers have its jobs."""
        settings = self._service.settings
        stopped: list[int] = []

        def apply() -> str:
            parents = self._service.workers()
            if not parents:
                return "none"
            stopped.append(os.getpgid(self._chance.choice(parents).pid))
            os.killpg(stopped[0], signal.SIGSTOP)
            return f"group {stopped[0]}"

        def lift() -> None:
            for group in stopped:
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGCONT)

        return Fault("freeze worker", apply, settings.lease_seconds + 2 * settings.sweep_seconds + 1, lift)

    def terminate_parent(self) -> Fault:
        return Fault("SIGTERM worker", lambda: self._signal(self._service.workers(), signal.SIGTERM))

    def terminate_child(self) -> Fault:
        return Fault(
            "SIGTERM worker child",
            lambda: self._signal(self._service.children(self._service.workers()), signal.SIGTERM),
        )

    def restart_redis(self) -> Fault:
        redis = self._service.redis
        return Fault("Redis killed", lambda: redis.kill() or "", self._chance.uniform(0, 6), redis.start)

    def empty_redis(self) -> Fault:
        return Fault("Redis emptied", lambda: self._service.redis.flush() or "")

    def freeze_redis(self) -> Fault:
        redis = self._service.redis
        return Fault("Redis unreachable", lambda: redis.freeze() or "", self._chance.uniform(2, 6), redis.thaw)

    def restart_database(self) -> Fault:
        postgres = self._service.postgres
        assert postgres is not None
        return Fault("database stopped", lambda: postgres.stop() or "", self._chance.uniform(0, 5), postgres.start)

    def cut_connections(self) -> Fault:
        postgres = self._service.postgres
        assert postgres is not None
        return Fault("connections cut", lambda: f"{postgres.cut_connections()} sessions")

    def lock_database(self) -> Fault:
        """SQLite: another connection holds the write lock, at times for longer than the service waits for it."""
        path = self._service.database_url.removeprefix("sqlite:///")
        held: list[sqlite3.Connection] = []

        def apply() -> str:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            connection.execute("BEGIN IMMEDIATE")
            held.append(connection)
            return ""

        def lift() -> None:
            for connection in held:
                connection.rollback()
                connection.close()

        return Fault("database locked", apply, self._chance.uniform(2, 18), lift)

    def lose_store(self) -> Fault:
        disk = self._service.disk
        return Fault("store unreadable", lambda: disk.take_away() or "", self._chance.uniform(1, 5), disk.bring_back)

    def fill_disk(self) -> Fault:
        disk = self._service.disk
        return Fault("disk full", lambda: disk.fill() or "", self._chance.uniform(1, 4), disk.empty)

    def _signal(self, processes: list[psutil.Process], number: signal.Signals) -> str:
        for process in self._chance.sample(processes, len(processes)):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
                return f"pid {process.pid}"
        return "none"

    def _signal_group(self, parents: list[psutil.Process], number: signal.Signals) -> str:
        for parent in self._chance.sample(parents, len(parents)):
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(parent.pid), number)
                return f"group of {parent.pid}"
        return "none"
