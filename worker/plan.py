"""What a worker will do, settled before its Celery parent starts: models, devices, children, threads."""

import logging
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.catalogue import ModelEntry
from detectors.errors import ModelUnusable
from detectors.machine import usable_cores
from detectors.runtimes.devices import choose_device
from detectors.runtimes.registry import ELSEWHERE, framework_version, registered, require
from engine.model_registry import ModelRegistry
from jobs.build import describe
from jobs.settings import Settings
from jobs.tables import new_id

log = logging.getLogger(__name__)

# What a process that asks a framework for its devices prints before their names, so that a framework's own noise
# on stdout is not taken for one.
_MARK = "device "


@dataclass(frozen=True)
class Plan:
    """Plain data: it travels to the spawned children inside Celery's configuration."""

    worker_id: str
    runtime: str
    models: Mapping[str, ModelEntry]
    """By name, those that this worker serves."""
    devices: tuple[str, ...]
    """What the children run on, in turn: `cpu`, or one per GPU; `remote` where a server does the work."""
    children: int
    threads: int
    """Framework threads a child."""
    versions: Mapping[str, str]

    @property
    def digests(self) -> dict[str, str]:
        """Name -> the version of each model."""
        return {name: entry.digest for name, entry in self.models.items()}

    @property
    def device(self) -> str:
        return ", ".join(dict.fromkeys(self.devices))

    def to_json(self) -> dict[str, Any]:
        models = {name: entry.model_dump(mode="json") for name, entry in self.models.items()}
        return {**self.__dict__, "models": models, "versions": dict(self.versions)}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Plan":
        models = {name: ModelEntry.model_validate(entry) for name, entry in plain["models"].items()}
        return cls(**{**plain, "models": models, "devices": tuple(plain["devices"])})


def make_plan(settings: Settings, runtime: str) -> Plan:
    """Raises `CatalogueError`, `DeviceUnavailable`, or `ModelUnusable` where the runtime is not here or none of its
    models can be served."""
    require(runtime)
    models = ModelRegistry(settings, runtime).models
    if not models:
        files = ", ".join(map(str, settings.catalogue))
        raise ModelUnusable(f"{files} has no usable model for the runtime {runtime}.")
    devices = _devices(settings.device, runtime)
    cores = usable_cores()
    on_cpu = devices[0] in ("cpu", *ELSEWHERE)
    children = settings.children if isinstance(settings.children, int) else (cores if on_cpu else len(devices))
    # Many small processes beat one with many threads on the CPU: decoding, writing and the model overlap.
    threads = settings.threads if isinstance(settings.threads, int) else max(1, cores // children)
    return Plan(new_id(), runtime, models, devices, children, threads, _versions(settings, runtime))


def _devices(wanted: str, runtime: str) -> tuple[str, ...]:
    """The devices that the children use. Raises `DeviceUnavailable`."""
    if runtime in ELSEWHERE:
        return (runtime,)
    if wanted == "cpu" or (wanted == "auto" and not _has_gpu()):
        return ("cpu",)
    # In a process of its own: the parent of the pool must not carry a framework, nor a CUDA context.
    asked = subprocess.run(
        [sys.executable, "-m", "worker.plan", runtime], capture_output=True, text=True, check=False, timeout=120
    )
    available = [line.removeprefix(_MARK) for line in asked.stdout.splitlines() if line.startswith(_MARK)]
    if asked.returncode:
        log.error("asking %s for its devices failed: %s", runtime, asked.stderr.strip()[-500:])
    if wanted in ("auto", "cuda") and available:
        return tuple(available)
    return (choose_device(wanted, available),)


def _has_gpu() -> bool:
    """Whether a driver is there at all; asking a framework would cost seconds at every start."""
    return any(Path(path).exists() for path in ("/dev/nvidiactl", "/dev/dxg"))


def _versions(settings: Settings, runtime: str) -> dict[str, str]:
    """Of Boxqueue and what it was built from, of Python and of the framework."""
    build = describe(settings)
    known = {"boxqueue": build.pop("version"), **build, "python": platform.python_version()}
    known |= dict(filter(None, [framework_version(runtime)]))
    return {name: value for name, value in known.items() if value}


if __name__ == "__main__":
    for found in registered()[sys.argv[1]].load().devices():
        sys.stdout.write(f"{_MARK}{found}\n")
