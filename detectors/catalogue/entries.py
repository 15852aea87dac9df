"""The entries of the catalogue: the fields of a model, and which of them fit together. No framework here."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from detectors.catalogue.fetch import fetch
from detectors.catalogue.interface import Input, Output
from detectors.catalogue.model_server import SERVED_FORMATS, ModelServer
from detectors.digest import digest_of, stamps_of
from detectors.errors import ModelUnusable
from detectors.strict import Strict

# Raise it when a change of pre- or postprocessing changes the detections for the same picture and weights. It is part
# of each model's digest, so workers of another revision do not claim the jobs, and its stored answers are not repeated.
PIPELINE_REVISION = 3


class Defaults(Strict):
    """Values for requests that do not set them."""

    min_score: float | None = Field(None, ge=0, le=1, description="Detections below it are not shown.")
    max_detections: int | None = Field(None, ge=1, le=1000)


class ModelEntry(Strict):
    """One model of the catalogue."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    runtime: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    format: str
    file: Path = Path()
    source: str | None = Field(None, description="The URI that the file is fetched from.")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    server: ModelServer | None = Field(None, description="In place of the file: the server that runs the model.")
    licence: str = ""
    description: str = ""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(min_length=1)
    ids: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="The class id of each label, if they do not count up from `first_class`."
    )
    builder: str | None = Field(None, description="With format torchvision: the function that builds the model.")
    precision: Literal["full", "half", "bfloat16"] = Field(
        "full", description="Of convolutions and matrix products, on CUDA only."
    )
    channels_last: bool = Field(
        False, description="Memory layout of the weights; many convolutions are faster with it."
    )
    batch_size: int | Literal["auto"] = Field(
        8, description="Pictures in a batch. auto: each worker measures it when it loads the model."
    )
    input: Input
    output: Output = Output()
    defaults: Defaults = Defaults()

    @cached_property
    def digest(self) -> str:
        """The version of the model, sha256 in hex: its file or server, and how its input and output are written."""
        # Without defaults, so that a new field changes the digest of no model that does not use it. `channels_last` is
        # left out: it changes scores and boxes no more than another processor does.
        meaning = self.model_dump_json(
            include={"labels", "ids", "builder", "precision", "input", "output"},
            exclude_defaults=True,
            exclude_none=True,
        )
        source = self.sha256 if self.server is None else f"{self.format} {self.server.identity}"
        return hashlib.sha256(f"{source}\n{PIPELINE_REVISION}\n{meaning}".encode()).hexdigest()

    @property
    def is_reproducible(self) -> bool:
        """Whether the same picture always gets the same answer: a server may change a model without a version."""
        return self.server is None or self.server.version is not None

    @property
    def location(self) -> str:
        """Where the model is: for messages."""
        return str(self.file) if self.server is None else self.server.location

    @property
    def is_embedded(self) -> bool:
        """Whether the model runs in this process, and not on a model server."""
        return self.server is None

    @property
    def server_address(self) -> str | None:
        """The address of the model server; None for an embedded model."""
        return None if self.server is None else self.server.url.rstrip("/")

    @property
    def class_ids(self) -> Sequence[int]:
        """The class id of each label in the model's output."""
        first = self.output.first_class
        return self.ids if self.ids is not None else range(first, first + len(self.labels))

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, value: Any) -> Any:
        if value != "auto" and not (type(value) is int and 1 <= value <= 1024):
            raise ValueError(f'must be a number from 1 to 1024, or "auto", but not {value!r}')
        return value

    @model_validator(mode="after")
    def _one_id_per_label(self) -> Self:
        if self.ids is None:
            return self
        if len(self.ids) != len(self.labels) or len(set(self.ids)) != len(self.ids):
            raise ValueError(f"{len(self.labels)} labels need as many different ids, not {list(self.ids)}")
        if self.output.first_class:
            raise ValueError("the labels have ids of their own: leave output.first_class out")
        return self

    @model_validator(mode="after")
    def _fields_fit_format(self) -> Self:
        for field, used, formats in (
            ("precision", self.precision != "full", ("pt2", "torchscript", "torchvision")),
            ("channels_last", self.channels_last, ("pt2", "torchvision")),
            ("input.size_name", self.input.size_name is not None, ("onnx",)),
        ):
            if used and self.format not in formats:
                raise ValueError(f"{field} is for the formats {', '.join(formats)}, not for {self.format}")
        return self

    @model_validator(mode="after")
    def _file_or_server(self) -> Self:
        if self.server is None:
            if self.format in SERVED_FORMATS:
                raise ValueError(f"format {self.format} needs a table server, with url and model")
            if not (self.file.name and self.sha256):
                raise ValueError("file and sha256 are needed: the model's file, and its digest")
            return self
        if self.format not in SERVED_FORMATS:
            raise ValueError(f"with a table server, format must be {' or '.join(SERVED_FORMATS)}")
        if self.file.name or self.sha256:
            raise ValueError("a model on a server has no file and no sha256: leave them out")
        if self.format == "oip" and self.input.name is None:
            raise ValueError("format oip needs input.name, the name of the tensor that the server takes")
        if self.format == "tf_serving" and not all(isinstance(name, str) for name in self.output.wanted):
            raise ValueError("format tf_serving needs the names of the outputs: boxes, scores and classes")
        if self.server.encoding == "png":
            if (self.format, self.input.dtype, self.input.layout) != ("tf_serving", "uint8", "NHWC"):
                raise ValueError("encoding png needs format tf_serving, and input.dtype uint8 with layout NHWC")
        return self

    def stamps(self) -> list[tuple[str, int, int, int]]:
        """What differs after the file was replaced (`stamps_of`); empty for a model on a server."""
        return stamps_of(self.file) if self.is_embedded else []

    def verify(self) -> None:
        """Fetches the file if needed, and reads all of it to check its digest. Does nothing for a model on a server.

        Raises `ModelUnusable` if the file is missing, or is not the one that `sha256` names.
        """
        if self.server is not None:
            return
        try:
            if self.source:
                fetch(self.source, self.file, self.sha256)
            found = digest_of(self.file)
        except OSError as error:
            raise ModelUnusable(
                f"Model {self.name}: {error.filename or self.file} can't be read: {error.strerror}. Put the file "
                "there, or correct `file` in the entry."
            ) from error
        except ModelUnusable as error:
            raise ModelUnusable(f"Model {self.name}: {error}") from error
        if found != self.sha256:
            raise ModelUnusable(
                f"Model {self.name}: {self.file} has sha256 {found}, but the catalogue says {self.sha256}. "
                + (
                    "Delete the file, and it is fetched again."
                    if self.source
                    else "Put the right file there, or correct `sha256` in the entry if the new file is right."
                )
            )
