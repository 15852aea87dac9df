"""The one list of models: `weights/catalogue.toml`, or the files that BOXQUEUE_CATALOGUE names. No framework here."""

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable, UnknownEntry
from detectors.fetch import fetch
from detectors.labels import read_labels

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
    file: Path
    source: str | None = Field(None, description="The URI that the file is fetched from, if it is not here.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str = ""
    description: str = ""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(min_length=1)
    ids: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(
        None, description="The class id of each label, where they do not simply count from `first_class` on."
    )
    builder: str | None = Field(None, description="With format torchvision: the function that builds the model.")
    batch_size: int = Field(8, ge=1, le=1024)
    input: Input
    output: Output = Output()
    defaults: Defaults = Defaults()

    @cached_property
    def digest(self) -> str:
        """What tells one version of the model from another: the file, and how it is fed and read."""
        # Without defaults, so that a field which is added one day changes no model that does not use it.
        meaning = self.model_dump_json(
            include={"labels", "ids", "builder", "input", "output"}, exclude_defaults=True, exclude_none=True
        )
        return hashlib.sha256(f"{self.sha256}\n{meaning}".encode()).hexdigest()

    @property
    def class_ids(self) -> Sequence[int]:
        """The class id that the model gives each label."""
        first = self.output.first_class
        return self.ids if self.ids is not None else range(first, first + len(self.labels))

    @model_validator(mode="after")
    def _one_id_each(self) -> Self:
        if self.ids is None:
            return self
        if len(self.ids) != len(self.labels) or len(set(self.ids)) != len(self.ids):
            raise ValueError(f"{len(self.labels)} labels need as many different ids, not {list(self.ids)}")
        if self.output.first_class:
            raise ValueError("the labels have ids of their own: leave output.first_class out")
        return self

    def verify(self) -> None:
        """Fetches the file or folder if it lies elsewhere.

        Raises `ModelUnusable` where it is missing, or is not the one that `sha256` names.
        """
        try:
            if self.source:
                fetch(self.source, self.file, self.sha256)
            found = digest_of(self.file)
        except OSError as error:
            raise ModelUnusable(f"Model {self.name}: {self.file} can't be read: {error.strerror}.") from error
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


@dataclass(frozen=True)
class Catalogue:
    """Models by name. `aliases` are other names for them."""

    entries: Mapping[str, ModelEntry]
    aliases: Mapping[str, str]

    def get(self, name: str) -> ModelEntry:
        """The entry of that name or alias. Raises `UnknownEntry`."""
        entry = self.entries.get(self.aliases.get(name, name))
        if entry is None:
            raise UnknownEntry(name, sorted([*self.entries, *self.aliases]))
        return entry

    def of_runtime(self, runtime: str) -> dict[str, ModelEntry]:
        """The entries that the workers of one queue serve."""
        return {name: entry for name, entry in self.entries.items() if entry.runtime == runtime}

    @classmethod
    def load(cls, *paths: Path, aliases: Mapping[str, str] | None = None, cache: Path = Path("data/models")) -> Self:
        """Reads catalogues, joined as one. Models that lie elsewhere will be fetched into `cache`.

        Raises `CatalogueError`, which names the file, the entry and the field.
        """
        entries: dict[str, ModelEntry] = {}
        for path in paths:
            for name, table in read_tables(path, tomllib.loads).items():
                if name in entries:
                    raise CatalogueError(f"{path}, model {name}: another catalogue has a model of this name already.")
                entries[name] = _entry(path, name, table, cache)
        for alias, target in (aliases or {}).items():
            if target not in entries:
                raise CatalogueError(
                    f"BOXQUEUE_MODEL_ALIASES: {alias} stands for {target}, which the catalogue does not have. "
                    f"It has {', '.join(sorted(entries)) or 'no models'}."
                )
            if alias in entries:
                raise CatalogueError(f"BOXQUEUE_MODEL_ALIASES: {alias} is the name of a model in the catalogue itself.")
        return cls(entries, dict(aliases or {}))


def read_tables(path: Path, parse: Callable[[str], Tables]) -> Tables:
    """What a parser of TOML makes of a catalogue. Raises `CatalogueError`."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogueError(f"The catalogue {path} can't be read: {error.strerror}.") from error
    except ValueError as error:  # parsers raise kinds of it, and text that is not UTF-8 too
        raise CatalogueError(f"The catalogue {path} is not valid TOML: {error}.") from error


# What goes without saying for models of a format. Those of torchvision scale their pictures themselves, count from the
# background on, and name their outputs.
OF_FORMAT: dict[str, dict[str, dict[str, Any]]] = {
    "torchvision": {
        "input": {"width": 1333, "height": 1333, "resize": "none", "layout": "NHWC", "dtype": "uint8"},
        "output": {"boxes": "boxes", "scores": "scores", "classes": "labels", "first_class": 1},
    }
}


def _entry(path: Path, name: str, table: Any, cache: Path) -> ModelEntry:
    if not isinstance(table, dict):
        raise CatalogueError(f"{path}: {name} must be a table, [{name}].")
    given = {"name": name, **table}
    try:
        given |= _labels(path, table.get("labels"))
        for part, usual in OF_FORMAT.get(str(table.get("format")), {}).items():
            left_out = {"first_class"} if "ids" in given else set()
            given[part] = {name: value for name, value in usual.items() if name not in left_out} | table.get(part, {})
        entry = ModelEntry.model_validate(given)
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise CatalogueError(f"{path}, model {name}{field and f', field {field}'}: {fault['msg']}.") from error
    except (CatalogueError, ValueError) as error:
        raise CatalogueError(f"{path}, model {name}, field labels: {error}") from error
    if "://" not in (uri := str(table["file"])):
        return entry.model_copy(update={"file": path.parent / entry.file})
    return entry.model_copy(update={"source": uri, "file": cache / entry.sha256 / entry.file.name})


def _labels(path: Path, given: Any) -> dict[str, Any]:
    """`labels` may be a list, a table id -> label, or the name of a file that has either. Raises `CatalogueError`, or
    ValueError where an id is no number."""
    found = read_labels(path.parent / given) if isinstance(given, str) else given
    if not isinstance(found, Mapping):
        return {} if found is None else {"labels": found}
    by_id = sorted((int(number), label) for number, label in found.items())
    return {"ids": [number for number, _ in by_id], "labels": [label for _, label in by_id]}
