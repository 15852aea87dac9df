"""Boxes in pictures."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A label and corners in pixels of the picture, x1 < x2 and y1 < y2."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        """Pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    def grown(self, margin: float) -> "Box":
        """The box with `margin` more pixels on every side."""
        return Box(self.label, self.x1 - margin, self.y1 - margin, self.x2 + margin, self.y2 + margin)

    def moved(self, x: float, y: float, across: float = 1.0, down: float = 1.0) -> "Box":
        """The box in a picture that is scaled by `across` and `down` and then moved by x and y."""
        return Box(self.label, self.x1 * across + x, self.y1 * down + y, self.x2 * across + x, self.y2 * down + y)

    def clipped(self, width: float, height: float) -> "Box":
        """The part inside a picture of this size. If the box is outside, its width or height is not positive."""
        return Box(self.label, max(0.0, self.x1), max(0.0, self.y1), min(width, self.x2), min(height, self.y2))


def hull(label: str, boxes: Sequence[Box]) -> Box:
    """The smallest box around all of these."""
    return Box(
        label, min(b.x1 for b in boxes), min(b.y1 for b in boxes), max(b.x2 for b in boxes), max(b.y2 for b in boxes)
    )
