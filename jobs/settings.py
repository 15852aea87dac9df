"""Every setting of Boxqueue: environment variables `BOXQUEUE_*`, read once, checked at the start."""

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from jobs.errors import ConfigurationError

PREFIX = "BOXQUEUE_"
ROOT = Path(__file__).resolve().parent.parent
# A socket's path may have 107 bytes on Linux (sun_path).
LONGEST_SOCKET_PATH = 107


class Settings(BaseSettings):
    """All settings. `Settings.load()` reads them and raises `ConfigurationError` with one sentence a fault."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address that the API listens on.")
    port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on.")
    data: Path = Field(Path("data"), description="Folder of the embedded database, pictures, logs and sockets.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much the processes log.")

    database_url: str = Field(
        "", description="SQLAlchemy URL, for example postgresql://user:password@host/db. Empty: SQLite under DATA."
    )
    redis_url: str = Field(
        "", description="Redis that rings the workers, redis://host:6379/0. Empty: `boxqueue up` starts one."
    )
    store_url: str = Field("", description="Where the pictures' bytes are kept: any fsspec URL. Empty: DATA/images.")

    catalogue: Annotated[tuple[Path, ...], NoDecode] = Field(
        (ROOT / "weights" / "catalogue.toml",), min_length=1, description="The list of models; several: a.toml,b.toml."
    )
    model_aliases: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict, description="Other names for models: cards=cards-pytorch,forms=my-model."
    )

    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="What the models run on: auto, cpu, cuda or cuda:N."
    )
    batch_size: int | None = Field(None, ge=1, le=1024, description="Pictures a claim. Empty: what the model says.")
    children: int | Literal["auto"] = Field(
        "auto", description="Worker processes a runtime. auto: one per GPU, or one per core on the CPU."
    )
    threads: int | Literal["auto"] = Field(
        "auto", description="Framework threads a worker process. auto: the cores divided among the children."
    )
    models_in_memory: int = Field(2, ge=1, description="Models that one worker process keeps loaded.")

    lease_seconds: float = Field(15, ge=1, description="How long a claim holds without a heartbeat.")
    picture_seconds: float = Field(30, gt=0, description="Longest time a picture may take before its worker is killed.")
    child_memory_mb: int | None = Field(
        None, ge=64, description="Resident memory at which a worker process is killed. Empty: 80 % of the machine's."
    )
    drain_seconds: float = Field(10, ge=0, description="How long one doorbell keeps a worker process claiming.")
    sweep_seconds: float = Field(5, gt=0, description="How often expired claims are put back.")

    max_picture_mb: float = Field(32, gt=0, description="Largest picture, in megabytes as sent.")
    max_picture_megapixels: float = Field(200, gt=0, description="Largest picture, in millions of pixels.")
    max_request_mb: float = Field(64, gt=0, description="Largest request body, in megabytes.")
    max_request_pictures: int = Field(256, ge=1, description="Most pictures in one request.")
    max_queued_jobs: int = Field(
        100_000, ge=0, description="Jobs that wait in a queue before it takes no more of their priority. 0: no limit."
    )
    max_queued_seconds: float | None = Field(
        None, gt=0, description="Age of a queued job at which its queue takes no more. Empty: no limit."
    )

    api_threads: int = Field(24, ge=2, description="Requests that the API serves at once.")
    keep_days: float | None = Field(None, gt=0, description="Days that finished jobs are kept. Empty: for ever.")

    commit: str = Field("", description="Commit that an image was built from; baked in by the build.")
    branch: str = Field("", description="Branch that an image was built from; baked in by the build.")
    build_time: str = Field("", description="When an image was built; baked in by the build.")
    build_options: str = Field("", description="Options that an image was built with; baked in by the build.")

    @field_validator("model_aliases", mode="before")
    @classmethod
    def _parse_aliases(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.split("=", 1) for pair in value.split(",") if pair.strip()]
        if any(len(pair) != 2 or not pair[0].strip() or not pair[1].strip() for pair in pairs):
            raise ValueError("write it as alias=model,alias=model")
        return {alias.strip(): model.strip() for alias, model in pairs}

    @field_validator("catalogue", mode="before")
    @classmethod
    def _several_files(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("children", "threads")
    @classmethod
    def _at_least_one(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be auto or at least 1")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://", "postgresql+psycopg://")):
            raise ValueError("must begin with postgresql:// or sqlite:///")
        try:
            make_url(value or "sqlite://")
        except ArgumentError:
            raise ValueError("is no URL of a database: postgresql://user:password@host:5432/name") from None
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("data", mode="after")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    def model_post_init(self, _: object) -> None:
        # Defaults that depend on DATA. Frozen afterwards, so they are set on the instance's dictionary.
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
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        # TMPDIR may be as deep, and a container may have no folder at all that it can write to.
        short = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path("/tmp") / f"boxqueue-{os.getuid()}-{short}-{name}"  # noqa: S108 - the name has the user in it

    @cached_property
    def redis_embedded(self) -> bool:
        """True where no Redis was named, so that `boxqueue up` starts one of its own."""
        return self.redis_url == f"unix://{self._socket('redis.sock')}"

    @property
    def database_named(self) -> bool:
        """False where none was named, and the database is the one under DATA."""
        return "database_url" in self.model_fields_set

    @property
    def store_named(self) -> bool:
        """False where none was named, and the pictures lie under DATA."""
        return "store_url" in self.model_fields_set

    @property
    def picture_limits(self) -> dict[str, float]:
        """Of a picture that is taken: the most bytes and pixels, as `engine.inspection.inspect` asks for them."""
        return {"max_bytes": self.max_picture_mb * 1e6, "max_pixels": self.max_picture_megapixels * 1e6}

    @classmethod
    def load(cls) -> Self:
        """Reads the environment. Raises `ConfigurationError`, one line for each wrong or unknown variable."""
        known = {PREFIX + name.upper() for name in cls.model_fields}
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        faults = [f"{name}: there is no such setting" for name in unknown]
        try:
            settings = cls()
        except ValidationError as error:
            faults += [_sentence(fault["loc"], fault["msg"]) for fault in error.errors()]
        if faults:
            raise ConfigurationError("; ".join(faults))
        return settings


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    return f"{PREFIX}{str(location[0]).upper()}: {message.removeprefix('Value error, ')}"
