"""The entries of the catalogue: what is said of a model, and which sayings fit together. No framework here."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from detectors.catalogue.fetch import fetch
from detectors.catalogue.model_server import SERVED_FORMATS, ModelServer
from detectors.digest import digest_of
from detectors.errors import ModelUnusable

# Part of what an answer depends on. Raise it when pre- or post-processing changes what comes out for the same picture
# and weights: stored answers of an older revision are then not repeated.
PIPELINE_REVISION = 1

Tables = TypeVar("Tables", bound=Mapping[str, Any])


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Strict):
    """What the model takes: a tensor of `width` × `height` pixels, RGB; or pictures as they are, at most so large."""

    name: str | None = Field(None, min_length=1, description="Of the input, where the model has several named ones.")
    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    resize: Literal["letterbox", "stretch", "none"] = "letterbox"
    layout: Literal["NHWC", "NCHW"] = "NCHW"
    dtype: Literal["uint8", "float32"] = "float32"
    scale: float = Field(1.0, gt=0, description="Pixel values 0…255 are multiplied by this, then mean and std apply.")
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (
        1.0,
        1.0,
        1.0,
    )


class Output(_Strict):
    """What the model gives: which of its outputs are the boxes, scores and classes, and how they are written."""

    boxes: int | str = 0
    scores: int | str = 1
    classes: int | str = 2
    class_scores: int | str | None = Field(
        None, description="An output with a column of scores for each class, in place of `scores` and `classes`."
    )
    count: int | str | None = Field(None, description="Which output says how many of a picture's rows count, if any.")
    first_class: int = Field(0, ge=0, description="The class id that the first label has in the model's output.")
    box_order: Literal["xyxy", "yxyx", "xywh", "yxhw", "cxcywh", "cycxhw"] = "xyxy"
    coordinates: Literal["pixels", "normalised"] = "pixels"
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: Literal["first", "last"] | None = Field(
        None, description="Which column of `class_scores` means that there is nothing."
    )
    several_classes: bool = Field(False, description="With `class_scores`: a box counts for every class, not the best.")
    nms: float | None = Field(
        None, gt=0, le=1, description="Of two boxes of a class that overlap by more (IoU) the better one stays."
    )
    nms_across_classes: bool = Field(False, description="With `nms`: of boxes of different classes as well.")
    floor_score: float = Field(0.05, ge=0, le=1, description="Detections below it are not stored.")

    @property
    def wanted(self) -> list[int | str]:
        """The outputs that a runtime returns, in this order: boxes, scores, classes unless the scores have columns for
        them, and the count if there is one."""
        scores = [self.scores, self.classes] if self.class_scores is None else [self.class_scores]
        return [self.boxes, *scores, *([] if self.count is None else [self.count])]

    @model_validator(mode="after")
    def _columns(self) -> Self:
        if self.class_scores is None:
            for name, used in (
                ("background", self.background is not None),
                ("several_classes", self.several_classes),
                ("activation softmax", self.activation == "softmax"),
            ):
                if used:
                    raise ValueError(f"{name} needs class_scores, an output with a column for each class")
        elif (self.scores, self.classes) != (1, 2):
            raise ValueError("class_scores stands in place of scores and classes: leave these out")
        if self.nms is None and self.nms_across_classes:
            raise ValueError("nms_across_classes needs nms")
        return self


class Defaults(_Strict):
    """What applies where a request does not say it."""

    min_score: float | None = Field(None, ge=0, le=1, description="Detections below it are not shown.")
    max_detections: int | None = Field(None, ge=1, le=1000)


class ModelEntry(_Strict):
    """One model of the catalogue."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
    runtime: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    format: str
    file: Path = Path()
    source: str | None = Field(None, description="The URI that the file is fetched from, if it is not here.")
    sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")
    server: ModelServer | None = Field(None, description="In place of the file: where the model is asked.")
    licence: str = ""
    description: str = ""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(min_length=1)
    ids: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="The class id of each label, where they do not simply count from `first_class` on."
    )
    builder: str | None = Field(None, description="With format torchvision: the function that builds the model.")
    precision: Literal["full", "half", "bfloat16"] = Field("full", description="Of what gains by it, on CUDA.")
    channels_last: bool = Field(False, description="How weights lie in memory: faster for many convolutions.")
    batch_size: int | Literal["auto"] = Field(
        8, description="Pictures that the model takes at once. auto: found where it is loaded."
    )
    input: Input
    output: Output = Output()
    defaults: Defaults = Defaults()

    @cached_property
    def digest(self) -> str:
        """What tells one version of the model from another: the file or the server, and how it is fed and read."""
        # Without defaults, so that a field which is added one day changes no model that does not use it. The layout of
        # the weights is none of it: it moves answers by no more than another processor does.
        meaning = self.model_dump_json(
            include={"labels", "ids", "builder", "precision", "input", "output"},
            exclude_defaults=True,
            exclude_none=True,
        )
        source = self.sha256 if self.server is None else f"{self.format} {self.server.identity}"
        return hashlib.sha256(f"{source}\n{meaning}".encode()).hexdigest()

    @property
    def repeats(self) -> bool:
        """Whether the same picture gets the same answer: a server may change what it has, unless a version is named."""
        return self.server is None or self.server.version is not None

    @property
    def place(self) -> str:
        """Where the model is, for people."""
        return str(self.file) if self.server is None else self.server.place

    @property
    def is_embedded(self) -> bool:
        """Whether the model runs in the process that asks it, and not on a model server."""
        return self.server is None

    @property
    def server_address(self) -> str | None:
        """The address of the model server; None for an embedded model."""
        return None if self.server is None else self.server.url.rstrip("/")

    @property
    def class_ids(self) -> Sequence[int]:
        """The class id that the model gives each label."""
        first = self.output.first_class
        return self.ids if self.ids is not None else range(first, first + len(self.labels))

    @field_validator("batch_size", mode="before")
    @classmethod
    def _number_or_auto(cls, given: Any) -> Any:
        if given != "auto" and not (type(given) is int and 1 <= given <= 1024):
            raise ValueError(f'a number from 1 to 1024, or "auto", but not {given!r}')
        return given

    @model_validator(mode="after")
    def _one_id_each(self) -> Self:
        if self.ids is None:
            return self
        if len(self.ids) != len(self.labels) or len(set(self.ids)) != len(self.ids):
            raise ValueError(f"{len(self.labels)} labels need as many different ids, not {list(self.ids)}")
        if self.output.first_class:
            raise ValueError("the labels have ids of their own: leave output.first_class out")
        return self

    @model_validator(mode="after")
    def _of_its_format(self) -> Self:
        for field, used, formats in (
            ("precision", self.precision != "full", ("pt2", "torchscript", "torchvision")),
            ("channels_last", self.channels_last, ("pt2", "torchvision")),
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
                raise ValueError("file and sha256 are needed: the model, and the digest that it has")
            return self
        if self.format not in SERVED_FORMATS:
            raise ValueError(f"a server speaks {' or '.join(SERVED_FORMATS)}, which has to be the format")
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

    def verify(self) -> None:
        """Fetches the file or folder if it lies elsewhere. A server is not asked.

        Raises `ModelUnusable` where it is missing, or is not the one that `sha256` names.
        """
        if self.server is not None:
            return
        try:
            if self.source:
                fetch(self.source, self.file, self.sha256)
            found = digest_of(self.file)
        except OSError as error:
            raise ModelUnusable(
                f"Model {self.name}: {self.file} can't be read: {error.strerror}. Put it there, or correct the entry's "
                "`file`."
            ) from error
        except ModelUnusable as error:
            raise ModelUnusable(f"Model {self.name}: {error}") from error
        if found != self.sha256:
            raise ModelUnusable(
                f"Model {self.name}: {self.file} has sha256 {found}, but the catalogue says {self.sha256}. "
                + (
                    "Delete it, and it is fetched again."
                    if self.source
                    else "Put the right file there, or correct the entry if the new file is the one you mean."
                )
            )
