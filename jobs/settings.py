"""Every setting of Boxqueue: environment variables `BOXQUEUE_*`, read and checked once, at the start."""

import hashlib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from jobs.errors import ConfigurationError

PREFIX = "BOXQUEUE_"
ROOT = Path(__file__).resolve().parent.parent
# The most bytes of a Unix socket's path on Linux (sun_path).
MAX_SOCKET_PATH = 107


def _parse_aliases(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs = [pair.split("=", 1) for pair in value.split(",") if pair.strip()]
    if any(len(pair) != 2 or not pair[0].strip() or not pair[1].strip() for pair in pairs):
        raise ValueError("write it as alias=model,alias=model")
    return {alias.strip(): model.strip() for alias, model in pairs}


def _split_files(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _at_least_one(value: int | str) -> int | str:
    if isinstance(value, int) and value < 1:
        raise ValueError("must be auto or at least 1")
    return value


def _check_database_url(value: str) -> str:
    if value and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
        raise ValueError("must begin with postgresql:// or sqlite:///")
    try:
        make_url(value or "sqlite://")
    except ArgumentError:
        raise ValueError("is no database URL; write it as postgresql://user:password@host:5432/name") from None
    return value


def _check_redis_url(value: str) -> str:
    if value and not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


# Either a number or the word auto.
_Count = Annotated[int | Literal["auto"], AfterValidator(_at_least_one)]


class Settings(BaseSettings):
    """All settings. `Settings.load()` reads them from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    data: Annotated[Path, AfterValidator(lambda path: path.expanduser().resolve())] = Field(
        Path("data"), description="Folder of the embedded database, pictures, logs and sockets."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much the processes log.")

    database_url: Annotated[str, AfterValidator(_check_database_url)] = Field(
        "", description="SQLAlchemy URL, for example postgresql://user:password@host/db. Empty: SQLite under DATA."
    )
    redis_url: Annotated[str, AfterValidator(_check_redis_url)] = Field(
        "", description="Redis that wakes the workers, redis://host:6379/0. Empty: `boxqueue up` starts one."
    )
    store_url: str = Field("", description="fsspec URL of the folder or bucket for the pictures. Empty: DATA/images.")

    catalogue: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split_files)] = Field(
        (ROOT / "weights" / "catalogue.toml",),
        min_length=1,
        description="File with the list of models, or several files: a.toml,b.toml.",
    )
    model_aliases: Annotated[dict[str, str], NoDecode, BeforeValidator(_parse_aliases)] = Field(
        default_factory=dict, description="Other names for models: cards=cards-pytorch,forms=my-model."
    )

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="Device of the models: auto, cpu, cuda or cuda:N."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Most pictures in one claim. Empty: the batch size of the model in the catalogue.",
    )
    children: _Count = Field(
        "auto", description="Processes of each worker. auto: one per GPU, or one per core on the CPU."
    )
    threads: _Count = Field(
        "auto", description="Threads of the framework in each process of a worker. auto: cores / processes."
    )
    models_in_memory: int = Field(2, ge=1, description="Models that one worker process keeps loaded.")

    lease_seconds: float = Field(
        15, ge=1, description="Seconds that a claim lasts after the last heartbeat of its worker."
    )
    picture_seconds: float = Field(
        30, gt=0, description="Seconds for one picture, after which its worker process is killed."
    )
    child_memory_mb: int | None = Field(
        None,
        ge=64,
        description="Resident memory at which a worker process is killed. Empty: 80 % of the memory, shared by all.",
    )
    drain_seconds: float = Field(10, ge=0, description="Seconds that a worker process claims jobs after one doorbell.")
    sweep_seconds: float = Field(
        5, gt=0, description="Seconds between two sweeps, which requeue the jobs of expired leases."
    )

    max_picture_mb: float = Field(32, gt=0, description="Largest picture, in megabytes as sent.")
    max_picture_megapixels: float = Field(200, gt=0, description="Largest picture, in millions of pixels.")
    max_request_mb: float = Field(64, gt=0, description="Largest request body, in megabytes.")
    max_request_pictures: int = Field(256, ge=1, description="Most pictures in one request.")
    max_queued_jobs: int = Field(
        100_000,
        ge=0,
        description="Most jobs that wait in a queue; then it refuses more of their priority. 0: no limit.",
    )
    max_queued_seconds: float | None = Field(
        None, gt=0, description="Seconds that a job may wait; then its queue refuses more. Empty: no limit."
    )

    api_threads: int = Field(24, ge=2, description="Requests that the API serves at the same time.")
    annotated_mb: float = Field(
        1000, ge=0, description="Megabytes of pictures with boxes that are kept, so that they are drawn once. 0: none."
    )
    keep_days: float | None = Field(None, gt=0, description="Days that finished jobs are kept. Empty: for ever.")

    commit: str = Field("", description="Commit that the image was built from. Set by the build.")
    branch: str = Field("", description="Branch that the image was built from. Set by the build.")
    build_time: str = Field("", description="Time at which the image was built. Set by the build.")
    build_options: str = Field("", description="Options that the image was built with. Set by the build.")

    def model_post_init(self, _: object) -> None:
        # Defaults that depend on DATA. The instance is frozen, so they are written into its dictionary.
        derived = {
            "database_url": f"sqlite:///{self.data / 'boxqueue.db'}",
            "redis_url": f"unix://{self._socket('redis.sock')}",
            "store_url": f"file://{self.data / 'images'}",
        }
        for name, value in derived.items():
            if not getattr(self, name):
                self.__dict__[name] = value

    def _socket(self, name: str) -> Path:
        path = self.data / name
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
            return path
        # Not in TMPDIR: its path may be as long, and a container may have no temporary folder at all.
        short = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path("/tmp") / f"boxqueue-{os.getuid()}-{short}-{name}"  # noqa: S108 - one name for each user

    @cached_property
    def redis_socket(self) -> Path | None:
        """Socket of the Redis that `boxqueue up` starts; None if another Redis is named."""
        socket = self._socket("redis.sock")
        return socket if self.redis_url == f"unix://{socket}" else None

    @property
    def celery_broker(self) -> str:
        """The same Redis as Celery writes it: a Unix socket is `redis+socket://`."""
        return re.sub("^unix://", "redis+socket://", self.redis_url)

    @property
    def database_named(self) -> bool:
        """False if no database is named: then it lies under DATA."""
        return "database_url" in self.model_fields_set

    @property
    def store_named(self) -> bool:
        """False if no store is named: then the pictures lie under DATA."""
        return "store_url" in self.model_fields_set

    @property
    def picture_limits(self) -> dict[str, float]:
        """Most bytes and most pixels of a picture: the arguments `max_bytes` and `max_pixels` of an inspection."""
        return {"max_bytes": self.max_picture_mb * 1e6, "max_pixels": self.max_picture_megapixels * 1e6}

    @classmethod
    def load(cls) -> Self:
        """Reads the environment. Raises `ConfigurationError` with all wrong and unknown variables in one line."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        faults = [f"{name}: there is no such setting; .env.example lists them all" for name in unknown]
        try:
            settings = cls()
        except ValidationError as error:
            faults += [_sentence(fault["loc"], fault["msg"]) for fault in error.errors()]
        if faults:
            raise ConfigurationError("; ".join(faults))
        return settings


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    return f"{PREFIX}{str(location[0]).upper()}: {message.removeprefix('Value error, ')}"
