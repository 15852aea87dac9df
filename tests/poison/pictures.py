"""Pictures of one colour. The colour decides the right answer, or how the process of the detector crashes."""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Colour = tuple[int, int, int]

SIDE = 64
MODEL_SIDE = 32
LABELS = ("box", "other")

# Kind -> additional seconds for a picture of this kind.
SLOW = {"slow": 0.2, "slower": 0.5, "slowest": 2.0}
# Kind -> the codes with which a picture of this kind may fail. The kills of a chaos run may also hit a picture of the
# kinds `hang` and `eat` twice before it reaches its own limit.
CODES = {
    "segfault": ("worker_lost",),
    "hang": ("timed_out", "worker_lost"),
    "eat": ("out_of_memory", "worker_lost"),
    "raise": ("detection_failed",),
    "nan": ("detection_failed",),
    "kill": ("worker_lost",),
    # After this picture the process fails for every picture, as after a sticky CUDA error.
    "break": ("worker_lost",),
}
GOOD = "good"
# Kind -> the red of its colour. Pictures with a higher red are good.
REDS = {kind: red for red, kind in enumerate((*SLOW, *CODES), start=1)}
FIRST_GOOD_RED = 16


@dataclass(frozen=True)
class Picture:
    """A picture of a kind. Its number makes it different from all other pictures."""

    kind: str
    number: int

    @property
    def colour(self) -> Colour:
        high, low = self.number >> 16, self.number & 0xFFFF
        red = REDS[self.kind] if self.kind in REDS else FIRST_GOOD_RED + high
        return red, low >> 8, low & 0xFF

    @cached_property
    def png(self) -> bytes:
        return png_of(self.colour)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.png).hexdigest()

    @property
    def expected(self) -> dict[str, Any]:
        """The expected result of its job."""
        if self.kind in CODES:
            return {"status": "failed", "codes": list(CODES[self.kind])}
        growth = SIDE / MODEL_SIDE
        return {
            "status": "succeeded",
            "detections": [
                {"label": LABELS[class_id], "score": score, "box": [edge * growth for edge in box]}
                for class_id, score, box in answer(self.colour)
            ],
        }


def png_of(colour: Colour) -> bytes:
    """An 8-bit RGB PNG. It is written without a library, because a chaos run makes ten thousand of them."""
    row = b"\0" + bytes(colour) * SIDE
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(row * SIDE, 1)), (b"IEND", b""))
    )


def answer(colour: Colour) -> list[tuple[int, float, tuple[int, int, int, int]]]:
    """Class, score and box in the model's 32 × 32 pixels: one to three objects, highest score first."""
    red, green, blue = colour
    found = []
    for rank in range(1 + (red + green + blue) % 3):
        x1, y1 = (green + 3 * rank) % 16, (blue + 5 * rank) % 16
        box = (x1, y1, x1 + 4 + red % 8, y1 + 4 + green % 8)
        found.append(((blue + rank) % 2, round(0.95 - 0.2 * rank - blue / 2000, 4), box))
    return found
