"""From the bytes of a picture to its pixels, upright and in RGB: the same for every runtime."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from detectors.catalogue import Input
from detectors.errors import PictureUndecodable
from detectors.pictures.formats import FORMATS
from detectors.pictures.preprocess import Pixels, content_size

# EXIF orientation -> what turns the stored picture upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER_TURNS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture in memory, perhaps smaller than it is: boxes found in `pixels` grow by `width / pixels.shape[1]`."""

    pixels: Pixels
    """RGB uint8, H×W×3, EXIF turned."""
    width: int
    """Pixels of the whole picture, as a person sees it."""
    height: int

    def whole(self, boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Boxes k × 4 in pixels of `pixels` -> in pixels of the whole picture, to the hundredth."""
        height, width = self.pixels.shape[:2]
        growth = np.array([self.width / width, self.height / height] * 2)
        whole: npt.NDArray[np.float64] = (boxes * growth).round(2)
        return whole


def decode(data: bytes, fit: Input | None = None) -> Decoded:
    """Decodes a picture; with `fit`, one larger than that model's input comes out just as large as the model sees it.

    A JPEG far larger is decoded at a reduced DCT scale at once. The first frame of an animation counts; what is
    transparent is seen on white; 16-bit grey is brought to 8.

    Raises `PictureUndecodable`. The caller has bounded the number of pixels by the header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torn EXIF blocks and the like: the pixels are what counts
            with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
                whole = image.size
                # Before the pixels are read, as where the picture was accepted: PNG may hold a second one behind them.
                turn = image.getexif().get(ExifTags.Base.Orientation, 1)
                turned = turn in QUARTER_TURNS
                if fit and image.format in ("JPEG", "MPO"):
                    image.draft("RGB", content_size(*whole, _turned(fit, turned)))
                rgb = _to_rgb(image)
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, ZeroDivisionError) as error:
        # Pillow's decoders raise any of these on damaged data.
        raise PictureUndecodable(f"The picture can't be decoded: {error}") from error
    upright = rgb.transpose(TURNS[turn]) if turn in TURNS else rgb
    width, height = (whole[1], whole[0]) if turned else whole
    if fit:
        target = content_size(width, height, fit)
        if target[0] < upright.width or target[1] < upright.height:
            upright = upright.resize(target, Image.Resampling.BILINEAR)
    return Decoded(np.asarray(upright), width, height)


def _turned(fit: Input, turned: bool) -> Input:
    return fit.model_copy(update={"width": fit.height, "height": fit.width}) if turned else fit


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        image.load()
        return image
    if image.mode.startswith("I"):
        # 16-bit grey, in whichever of Pillow's integer modes: the high byte. 32 bits hold 16-bit values in practice.
        grey = np.asarray(image)
        eight = (grey >> 8 if grey.max(initial=0) > 255 else grey).astype(np.uint8)
        return Image.fromarray(eight).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        white.alpha_composite(rgba)
        return white.convert("RGB")
    return image.convert("RGB")
