"""From the bytes of a picture to its pixels, upright and in RGB: the same for every runtime."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from detectors.catalogue import Input
from detectors.errors import PictureUndecodable
from detectors.pictures.formats import FORMATS, QUARTER_TURNS, TRANSPOSES
from detectors.pictures.preprocess import Pixels, content_size


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """A decoded picture, which may be smaller than the original. `to_original` converts its boxes."""

    pixels: Pixels
    """RGB uint8, H×W×3, turned upright by EXIF."""
    width: int
    """Of the original picture in pixels, as a person sees it."""
    height: int

    def to_original(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Boxes k × 4 in pixels of `pixels` -> in pixels of the original picture, rounded to two decimals."""
        height, width = self.pixels.shape[:2]
        scale = np.array([self.width / width, self.height / height] * 2)
        scaled: npt.NDArray[np.float64] = (boxes * scale).round(2)
        return scaled


def decode(data: bytes, fit: Input | None = None) -> DecodedPicture:
    """Decodes a picture. With `fit`, a picture larger than that model's input is scaled down to its size in the input.

    A much larger JPEG is decoded at a reduced DCT scale. Of an animation the first frame is taken, transparent pixels
    are put on white, and 16-bit grey becomes 8-bit.

    Raises `PictureUndecodable`. The caller has already checked the number of pixels in the header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged EXIF blocks and the like: only the pixels matter
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
                original_size = image.size
                # Read before the pixels, as on acceptance: PNG may have a second EXIF block behind them.
                orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
                turned = orientation in QUARTER_TURNS
                if fit and image.format in ("JPEG", "MPO"):
                    image.draft("RGB", content_size(*original_size, _turned(fit, turned)))
                rgb = _to_rgb(image)
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, ZeroDivisionError) as error:
        # Pillow's decoders raise any of these on damaged data.
        raise PictureUndecodable(f"The picture can't be decoded: {error}") from error
    upright = rgb.transpose(TRANSPOSES[orientation]) if orientation in TRANSPOSES else rgb
    width, height = original_size[::-1] if turned else original_size
    if fit:
        target = content_size(width, height, fit)
        if target[0] < upright.width or target[1] < upright.height:
            upright = upright.resize(target, Image.Resampling.BILINEAR)
    return DecodedPicture(np.asarray(upright), width, height)


def _turned(fit: Input, turned: bool) -> Input:
    return fit.model_copy(update={"width": fit.height, "height": fit.width}) if turned else fit


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I"):
        # 16-bit grey, in one of Pillow's integer modes: take the high byte. Mode I (32 bits) holds 16-bit values.
        grey = np.asarray(image)
        eight = (grey >> 8 if grey.max(initial=0) > 255 else grey).astype(np.uint8)
        return Image.fromarray(eight).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        return white.convert("RGB")
    return image.convert("RGB")
