"""From the bytes of a picture to its pixels, upright and in RGB: the same for every runtime."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.catalogue import Input
from detectors.pictures.bilinear import bilinear
from detectors.pictures.headers import read_header
from detectors.pictures.preprocess import Pixels, content_size
from detectors.pictures.raster import read_rgb

# A JPEG is decoded at a reduced size only if that is this many times as large as the model needs: docs/models.md has
# the measurement. The same number is in detectors/runtimes/libtorch/picture.cpp.
REDUCED_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture, which may be smaller than the original. `to_original` converts its boxes."""

    pixels: Pixels
    """RGB uint8, H×W×3, turned upright."""
    width: int
    """Of the original picture in pixels, as a person sees it."""
    height: int

    def to_original(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Boxes k × 4 in pixels of `pixels` -> in pixels of the original picture, rounded to two decimals."""
        height, width = self.pixels.shape[:2]
        scale = np.array([self.width / width, self.height / height] * 2)
        scaled: npt.NDArray[np.float64] = (boxes * scale).round(2)
        return scaled


def decode(data: bytes, fit: Input | None = None, *, memory_bytes: float | None = None) -> DecodedPicture:
    """Decodes a picture. With `fit`, a picture larger than that model's input is scaled down to its size in the input.

    With `fit.decode` "reduced", a much larger JPEG is decoded at a half, a quarter or an eighth of its size, unless the
    interpolation is bilinear. Of an
    animation the first frame is taken, and transparent pixels are put on white. `memory_bytes`: the most memory that
    decoding may take.

    Raises `PictureUndecodable`, `PictureUnsupported`, `PictureTooCostly` or `PictureUnknownFormat`. The caller has
    already checked the number of pixels in the header.
    """
    header = read_header(data)
    if fit and fit.interpolation == "bilinear":
        # It takes only some pixels of a picture, and has to take them from the whole one.
        pixels = np.asarray(read_rgb(data, header, memory_bytes=memory_bytes))
        target = content_size(header.width, header.height, fit)
        smaller = target[0] < header.width or target[1] < header.height
        return DecodedPicture(bilinear(pixels, target) if smaller else pixels, header.width, header.height)
    size = content_size(header.width, header.height, fit) if fit else None
    margin = REDUCED_MARGIN if fit and fit.decode == "reduced" else None
    rgb = read_rgb(data, header, size=size, margin=margin, memory_bytes=memory_bytes)
    return DecodedPicture(np.asarray(rgb), header.width, header.height)
