"""The tables `input` and `output` of an entry: what a model takes, and how it writes what it found."""

from typing import Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from detectors.strict import Strict

FLOATS = ("float16", "float32")
"""Types of an input whose pixel values are scaled and normalised."""


class Input(Strict):
    """What the model takes: pictures of `width` × `height` pixels; with `resize = "none"`, of at most that size."""

    name: str | None = Field(None, min_length=1, description="The input's name, if the model has several inputs.")
    size_name: str | None = Field(
        None,
        min_length=1,
        description="A second input, int64 n × 2: the width and height that the boxes are scaled to. It is given those "
        "of the input.",
    )
    width: int = Field(ge=8, le=8192)
    height: int = Field(ge=8, le=8192)
    resize: Literal["letterbox", "stretch", "none"] = "letterbox"
    position: Literal["corner", "centre"] = Field(
        "corner", description="With letterbox: where the picture lies, at the top left or in the middle."
    )
    padding: int = Field(114, ge=0, le=255, description="With letterbox: the grey beside the picture.")
    interpolation: Literal["antialiased", "bilinear"] = Field(
        "antialiased", description="bilinear: of four pixels only, also where the picture gets smaller, as in OpenCV."
    )
    decode: Literal["reduced", "full"] = Field(
        "reduced", description="Whether a JPEG much larger than the input may be decoded at a reduced size."
    )
    layout: Literal["NHWC", "NCHW"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    dtype: Literal["uint8", "float16", "float32"] = "float32"
    scale: float = Field(1.0, gt=0, description="Pixel values 0…255 are multiplied by this, then mean and std apply.")
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (1.0, 1.0, 1.0)

    @model_validator(mode="after")
    def _canvas(self) -> Self:
        if self.resize != "letterbox" and (self.position, self.padding) != ("corner", 114):
            raise ValueError('position and padding need resize = "letterbox"')
        return self


Columns = tuple[int, int]
"""The first column, and the one after the last: as Python's slices count."""


class TensorColumns(Strict):
    """Where the numbers of a row are, if one output has boxes and scores. Columns count from 0."""

    boxes: Columns = (0, 4)
    class_scores: Columns | None = None
    scores: int | None = Field(None, ge=0)
    classes: int | None = Field(None, ge=0)
    objectness: int | None = Field(
        None, ge=0, description="The probability that the row is an object; it multiplies the scores of the classes."
    )

    @model_validator(mode="after")
    def _roles(self) -> Self:
        for name, columns, width in (("boxes", self.boxes, 4), ("class_scores", self.class_scores, None)):
            if columns is not None and not (0 <= columns[0] < columns[1]):
                raise ValueError(f"{name} needs the first column and the one after the last, such as [0, 4]")
            if columns is not None and width is not None and columns[1] - columns[0] != width:
                raise ValueError(f"{name} needs {width} columns")
        if self.class_scores is not None and (self.scores, self.classes) != (None, None):
            raise ValueError("class_scores replaces scores and classes: leave these out")
        if self.class_scores is None and self.scores is None:
            raise ValueError("class_scores is needed, or scores")
        if self.objectness is not None and self.class_scores is None:
            raise ValueError("objectness needs class_scores")
        return self

    @property
    def number(self) -> int:
        """The smallest number of columns that a row has."""
        singles = [column + 1 for column in (self.scores, self.classes, self.objectness) if column is not None]
        return max(self.boxes[1], *singles, 0 if self.class_scores is None else self.class_scores[1])


class Output(Strict):
    """What the model returns: which of its outputs are the boxes, scores and classes, and how they are written."""

    boxes: int | str = 0
    scores: int | str = 1
    classes: int | str = 2
    class_scores: int | str | None = Field(
        None, description="An output with a column of scores for each class, in place of `scores` and `classes`."
    )
    tensor: int | str | None = Field(
        None,
        description="The one output that has everything, in place of `boxes`, `scores` and `classes`. With a column of "
        "scores and none of classes, `classes` names another output.",
    )
    columns: TensorColumns | None = Field(None, description="With `tensor`: what its columns are.")
    transposed: bool = Field(False, description="With `tensor`: each picture has columns × rows, not rows × columns.")
    count: int | str | None = Field(None, description="The output with the number of valid rows of a picture, if any.")
    first_class: int = Field(0, ge=0, description="The class id of the first label in the model's output.")
    box_order: Literal["xyxy", "yxyx", "xywh", "yxhw", "cxcywh", "cycxhw"] = "xyxy"
    coordinates: Literal["pixels", "normalised"] = "pixels"
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    background: Literal["first", "last"] | None = Field(
        None, description="The column of `class_scores` that means that there is no object."
    )
    several_classes: bool = Field(False, description="With `class_scores`: a box may have several classes.")
    nms: float | None = Field(
        None, gt=0, le=1, description="Non-maximum suppression: the largest IoU of two boxes of a class."
    )
    nms_across_classes: bool = Field(False, description="With `nms`: also for boxes of different classes.")
    floor_score: float = Field(0.05, ge=0, le=1, description="Detections below it are not stored.")

    @property
    def per_class(self) -> bool:
        """Whether the scores have a column for each class."""
        return (self.class_scores if self.columns is None else self.columns.class_scores) is not None

    @property
    def _has_classes_apart(self) -> bool:
        """Whether one tensor has the boxes and scores, and another output the classes."""
        return self.columns is not None and self.columns.scores is not None and self.columns.classes is None

    @property
    def wanted(self) -> list[int | str]:
        """The outputs that a runtime returns, in this order: boxes, scores, classes (unless the scores have a column
        for each), or the one tensor that has them all; and the count if there is one."""
        count = [] if self.count is None else [self.count]
        if self.tensor is not None:
            return [self.tensor, *([self.classes] if self._has_classes_apart else []), *count]
        scores = [self.scores, self.classes] if self.class_scores is None else [self.class_scores]
        return [self.boxes, *scores, *count]

    @model_validator(mode="after")
    def _roles(self) -> Self:
        if (self.tensor is None) != (self.columns is None):
            raise ValueError("tensor and columns need each other: which output has everything, and where")
        if self.tensor is None and self.transposed:
            raise ValueError("transposed needs tensor")
        classes = 2 if self._has_classes_apart else self.classes
        if self.tensor is not None and (self.boxes, self.scores, classes, self.class_scores) != (0, 1, 2, None):
            raise ValueError("tensor replaces boxes, scores, classes and class_scores: leave these out")
        if self.class_scores is not None and (self.scores, self.classes) != (1, 2):
            raise ValueError("class_scores replaces scores and classes: leave these out")
        return self

    @model_validator(mode="after")
    def _options(self) -> Self:
        if not self.per_class:
            for name, used in (
                ("background", self.background is not None),
                ("several_classes", self.several_classes),
                ("activation softmax", self.activation == "softmax"),
            ):
                if used:
                    raise ValueError(f"{name} needs class_scores, with a column for each class")
        if self.activation == "softmax" and self.columns is not None and self.columns.objectness is not None:
            raise ValueError("activation softmax does not fit objectness, which is one number")
        if self.nms is None and self.nms_across_classes:
            raise ValueError("nms_across_classes needs nms")
        return self
