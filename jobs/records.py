"""What the functions of `jobs` take and return: plain frozen records, independent of the database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from jobs.errors import PictureMissing, PictureRefused


@dataclass(frozen=True, slots=True)
class Picture:
    """An inspected picture. `width` and `height` are in pixels, after the rotation of EXIF."""

    sha256: str
    media_type: str
    width: int
    height: int
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to submit. `picture` is None if it was refused or could not be read; then `refusal` says why.

    Such a job is `failed` from the start, so that the total of a batch is the number of files that were sent.
    """

    model: str
    digest: str
    runtime: str
    picture: Picture | None
    refusal: PictureRefused | PictureMissing | None = None
    source: str | None = None
    options: dict[str, Any] | None = None
    cache: bool = True
    priority: int = 0
    metadata: dict[str, Any] | None = None


class ClaimableModel(NamedTuple):
    """A model that a worker takes jobs of."""

    digest: str
    batch_size: int
    """The most pictures in one claim."""
    on_server: frozenset[str] = frozenset()
    """The names of all models on its model server, its own among them. Empty for a model in the worker's process."""


class DetectionRecord(NamedTuple):
    """One found object. The box is in pixels of the picture after the rotation of EXIF; `score` is 0 to 1."""

    label: str
    class_id: int
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as clients see it. `detections` is None until it succeeded; then the highest score comes first."""

    id: str
    status: str
    model: str
    model_digest: str
    batch_id: str | None
    source: str | None
    priority: int
    deaths: int
    repeated: bool
    image: Picture | None
    detections: list[DetectionRecord] | None
    error_code: str | None
    error_message: str | None
    options: dict[str, Any]
    metadata: dict[str, Any] | None
    device: str | None
    timings_ms: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A batch's progress. `rate_per_s` and `eta_s` are None if nothing can be measured."""

    id: str
    name: str | None
    status: str
    total: int
    succeeded: int
    failed: int
    cancelled: int
    rate_per_s: float | None
    eta_s: float | None
    created_at: datetime
    closed_at: datetime | None
    cancelled_at: datetime | None
    finished_at: datetime | None

    @property
    def pending(self) -> int:
        """Queued and running jobs."""
        return self.total - self.succeeded - self.failed - self.cancelled


@dataclass(frozen=True, slots=True)
class Unserved:
    """Jobs of one version of a model that no live worker serves."""

    model: str
    digest: str
    queued: int


@dataclass(frozen=True, slots=True)
class Build:
    """Live workers with the same device and the same versions."""

    workers: int
    device: str
    versions: dict[str, Any]
    """Of Boxqueue, its image, Python and the framework."""


@dataclass(frozen=True, slots=True)
class Outage:
    """A model whose server does not answer: its jobs wait until it does."""

    model: str
    code: str
    message: str
    since: datetime


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """The state of one runtime's queue. `oldest_s` is the age in seconds of the job that has waited longest."""

    runtime: str
    queued: int
    oldest_s: float | None
    rate_per_s: float
    """Jobs a second that workers claimed in the last minute."""
    running: int
    late: int
    """Running jobs with an expired lease: their worker crashed or hangs, and no sweep has requeued them yet."""
    workers: int
    workers_lost: int
    """Workers without a heartbeat that did not unregister: killed, hanging, or cut off from the database."""
    unserved: tuple[Unserved, ...]
    builds: tuple[Build, ...]
    outages: tuple[Outage, ...]

    @property
    def no_worker(self) -> bool:
        """Whether jobs wait that no live worker can claim, because none serves their model and digest."""
        return bool(self.unserved)
