"""The one list of models: `weights/catalogue.toml`, or the file that BOXQUEUE_CATALOGUE names. No framework here."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable, UnknownEntry

# Part of what an answer depends on. Raise it when pre- or post-processing changes what comes out for the same picture
# and weights: stored answers of an older revision are then not repeated.
PIPELINE_REVISION = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Input(_Strict):
    """What the model takes: a tensor of `width` × `height` pixels, RGB."""

    name: str | None = Field(None, min_length=1, description="Of the input, where the model has several named ones.")
    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    resize: Literal["letterbox", "stretch"] = "letterbox"
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
    """What the model gives: which of its outputs are the boxes, scores and classes, and how boxes are written."""

    boxes: int | str = 0
    scores: int | str = 1
    classes: int | str = 2
    count: int | str | None = Field(None, description="Which output says how many of a picture's rows count, if any.")
    first_class: int = Field(0, ge=0, description="The class id that the first label has in the model's output.")
    box_order: Literal["xyxy", "yxyx", "cxcywh"] = "xyxy"
    coordinates: Literal["pixels", "normalised"] = "pixels"
    activation: Literal["none", "sigmoid"] = "none"
    floor_score: float = Field(0.05, ge=0, le=1, description="Detections below it are not stored.")


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
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str = ""
    description: str = ""
    labels: tuple[Annotated[str, Field(min_length=1, max_length=255)], ...] = Field(min_length=1)
    batch_size: int = Field(8, ge=1, le=1024)
    input: Input
    output: Output = Output()
    defaults: Defaults = Defaults()

    @cached_property
    def digest(self) -> str:
        """What tells one version of the model from another: the file, and how it is fed and read."""
        meaning = self.model_dump_json(include={"labels", "input", "output"})
        return hashlib.sha256(f"{self.sha256}\n{meaning}".encode()).hexdigest()

    def verify(self) -> None:
        """Raises `ModelUnusable` where the file or folder is missing or is not the one that `sha256` names."""
        try:
            found = digest_of(self.file)
        except OSError as error:
            raise ModelUnusable(f"Model {self.name}: {self.file} can't be read: {error.strerror}.") from error
        if found != self.sha256:
            raise ModelUnusable(
                f"Model {self.name}: {self.file} has sha256 {found}, but the catalogue says {self.sha256}. "
                "Put the right file there, or correct the entry if the new file is the one you mean."
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
    def load(cls, path: Path, aliases: Mapping[str, str] | None = None) -> Self:
        """Reads a catalogue. Raises `CatalogueError`, which names the file, the entry and the field."""
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise CatalogueError(f"The catalogue {path} can't be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise CatalogueError(f"The catalogue {path} is not valid TOML: {error}.") from error
        entries = {name: _entry(path, name, table) for name, table in tables.items()}
        for alias, target in (aliases or {}).items():
            if target not in entries:
                raise CatalogueError(
                    f"BOXQUEUE_MODEL_ALIASES: {alias} stands for {target}, which {path} does not have. "
                    f"It has {', '.join(sorted(entries)) or 'no models'}."
                )
            if alias in entries:
                raise CatalogueError(f"BOXQUEUE_MODEL_ALIASES: {alias} is the name of a model in {path} itself.")
        return cls(entries, dict(aliases or {}))


def _entry(path: Path, name: str, table: Any) -> ModelEntry:
    if not isinstance(table, dict):
        raise CatalogueError(f"{path}: {name} must be a table, [{name}].")
    try:
        entry = ModelEntry.model_validate({"name": name, **table})
    except ValidationError as error:
        fault = error.errors()[0]
        field = ".".join(str(part) for part in fault["loc"])
        raise CatalogueError(f"{path}, model {name}, field {field}: {fault['msg']}.") from error
    return entry.model_copy(update={"file": path.parent / entry.file})
