"""From the bytes of a picture to an upright RGB picture in Pillow: one reading for models and for drawing.

Without NumPy, which the API does not have.
"""

import io
import warnings
from collections.abc import Callable
from functools import cache

from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer
from PIL import AvifImagePlugin, Image, ImageChops

from detectors.errors import PictureTooCostly, PictureUndecodable, PictureUnsupported
from detectors.pictures.headers import Header, essential

# BOXQUEUE_MAX_PICTURE_MEGAPIXELS is checked on the header, before any pixel is decoded. Pillow's own limit is lower, so
# it would refuse pictures that were accepted.
Image.MAX_IMAGE_PIXELS = None
# A worker's processes share the cores already.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

_PILLOW_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/bmp": "BMP",
    "image/gif": "GIF",
    "image/tiff": "TIFF",
    "image/heic": "HEIF",
    "image/avif": "AVIF",
}
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation, 1 to 8 -> the operation that turns the stored picture upright; 1 needs none."""
# Large pictures are converted in strips of this many pixels, so that the steps between take no memory.
_STRIP_PIXELS = 1_000_000
_REDUCTIONS = (8, 4, 2, 1)
"""Parts of its width and height that libjpeg can decode a JPEG to."""
# What Pillow's decoders raise on damaged data.
_DECODER_ERRORS = (
    *(
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
        RuntimeError,
    ),
)


def read_rgb(
    data: bytes,
    header: Header,
    *,
    size: tuple[int, int] | None = None,
    margin: float | None = None,
    memory_bytes: float | None = None,
) -> Image.Image:
    """The picture upright, in mode RGB: transparent pixels on white, samples of 12 and 16 bits by their high 8 bits.

    `size`: width and height in pixels that a larger picture is scaled down to. `margin`: a JPEG may be decoded at a
    half, a quarter or an eighth of its size, if that is still `margin` times as large as `size`. `memory_bytes`: the
    most memory that decoding may take.

    Raises `PictureUndecodable`, `PictureTooCostly` or `PictureUnsupported`.
    """
    target = size[::-1] if size and header.turned else size
    reduction = _reduction(header, target, margin) if target and margin else 1
    if memory_bytes is not None and header.memory_bytes(reduction) > memory_bytes:
        raise PictureTooCostly(
            f"Decoding the picture takes up to {header.memory_bytes(reduction) / 1e6:,.0f} MB of memory, but only "
            f"{max(0, memory_bytes) / 1e6:,.0f} MB are free for it: send a smaller picture, or give the process more "
            "memory."
        )
    if header.cut_off:
        raise PictureUndecodable("The picture is cut off: the file is too short for so many pixels.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd picture is no reason for a line in the log
            decoded, box = _decode(data, header, reduction)
            shown = _eight_bits(decoded, header)
            if target and (target[0] < box[0] or target[1] < box[1]):
                shown = resized(shown, target, box)
            elif shown.size != (header.stored_width, header.stored_height):
                raise PictureUndecodable("The picture can't be decoded: it has another size than its header says.")
            upright = shown.transpose(_TRANSPOSES[header.orientation]) if header.orientation != 1 else shown
            return upright if upright.mode == "RGB" else upright.convert("RGB")
    except MemoryError as error:
        raise PictureTooCostly(
            "There is not enough memory to decode the picture: send a smaller picture, or give the process more memory."
        ) from error
    except _DECODER_ERRORS as error:
        raise PictureUndecodable(f"The picture can't be decoded: {error}") from error


def resized(image: Image.Image, size: tuple[int, int], box: tuple[float, float] | None = None) -> Image.Image:
    """A picture of mode L or RGB scaled to `size`, width and height, with a triangle filter that leaves no pixel out.

    `box`: the part of the picture that is scaled, as a width and height from the top left. The filter is Pillow's
    BILINEAR; the values differ by at most 1 of 255.
    """
    made = Image.new(image.mode, size)
    width, height = box or image.size
    options = ResizeOptions(
        resize_alg=ResizeAlg.convolution(FilterType.bilinear), crop_box=CropBox(0.0, 0.0, width, height)
    )
    Resizer().resize_pil(image, made, options)
    return made


def _reduction(header: Header, target: tuple[int, int], margin: float) -> int:
    """The part that a JPEG is decoded to, as libjpeg names it: 1 for a whole, 2 for a half. Other formats: 1."""
    if header.media_type != "image/jpeg":
        return 1
    least = min(header.stored_width / target[0], header.stored_height / target[1]) / margin
    return next(reduction for reduction in _REDUCTIONS if reduction <= max(1.0, least))


def _decode(data: bytes, header: Header, reduction: int) -> tuple[Image.Image, tuple[float, float]]:
    """The stored picture, and the width and height of the part of it that is the picture.

    A JPEG of 4,201 pixels becomes 526 pixels at an eighth, but they show 525.125: libjpeg fills up the last block.
    """
    kind = _PILLOW_FORMATS[header.media_type]
    if kind == "HEIF":
        _register_heif()
    image = Image.open(io.BytesIO(essential(data, header)), formats=[kind])
    stored = header.stored_width, header.stored_height
    if image.size != stored:
        raise PictureUndecodable("The picture can't be decoded: its decoder finds another size than its header says.")
    if reduction > 1:
        # Pillow takes the smallest reduction that is at least as large as this.
        image.draft(None, (stored[0] // reduction, stored[1] // reduction))
    image.load()
    return image, (stored[0] / reduction, stored[1] / reduction)


@cache
def _register_heif() -> None:
    from pi_heif import register_heif_opener  # noqa: PLC0415 - most processes never see such a picture

    register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)


def _eight_bits(image: Image.Image, header: Header) -> Image.Image:
    """The picture with 8 bits a sample, opaque, in mode L or RGB."""
    if header.transparent_grey is not None:
        return _in_strips(image, lambda part: _opaque_grey(part, header))
    if image.mode in ("RGB", "L") and not image.has_transparency_data:
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I;16"):
        grey = _in_strips(image, lambda part: _grey_of_words(part, header), "L")
        _require_contrast(image, grey, header)
        return grey
    if image.mode in ("RGB", "L", "P", "PA", "LA", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "RGBX"):
        return _in_strips(image, _opaque)
    raise PictureUnsupported(f"Pictures of Pillow's mode {image.mode} are not read: save it as RGB with 8 bits.")


def _in_strips(image: Image.Image, convert: Callable[[Image.Image], Image.Image], mode: str = "RGB") -> Image.Image:
    rows = max(1, _STRIP_PIXELS // image.width)
    if rows >= image.height:
        return convert(image)
    made = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        made.paste(convert(strip), (0, top))
    return made


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, with transparent pixels on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white.convert("RGB")


def _grey_of_words(image: Image.Image, header: Header) -> Image.Image:
    """The high 8 of 12 or 16 bits, as mode L."""
    if header.grey_bits == 12:
        grey = image.convert("I").point([min(255, value >> 4) for value in range(65536)], "L")
    else:
        high = 0 if image.mode == "I;16B" else 1
        grey = Image.frombytes("L", image.size, image.tobytes()[high::2])
    return ImageChops.invert(grey) if header.white_is_zero else grey


def _require_contrast(words: Image.Image, grey: Image.Image, header: Header) -> None:
    """Raises `PictureUnsupported` for a picture that uses so few of its values that all of it becomes one grey."""
    (darkest, brightest), (low, high) = words.getextrema(), grey.getextrema()
    if low == high and darkest != brightest:
        raise PictureUnsupported(
            f"The picture has {header.grey_bits} bits a sample and uses only the values {darkest} to {brightest}, so "
            "all of it would be one grey: scale its samples to the whole range."
        )


def _opaque_grey(image: Image.Image, header: Header) -> Image.Image:
    """Grey with one transparent value, on white. All bits of the value are compared."""
    bits, key = header.grey_bits, header.transparent_grey or 0
    if image.mode.startswith("I;16"):
        grey = _grey_of_words(image, header)
        mask = image.convert("I").point([255 * (value == key) for value in range(65536)], "L")
    else:
        grey = image.convert("L")
        # Pillow has spread the samples over 0 to 255.
        spread = key * 255 // (2**bits - 1)
        mask = grey.point([255 * (value == spread) for value in range(256)])
    white = Image.new("L", grey.size, 255)
    return Image.composite(white, grey, mask).convert("RGB")
