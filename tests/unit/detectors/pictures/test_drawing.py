"""The picture with its boxes drawn."""

import io
import time

import pytest
from PIL import Image, ImageDraw

from detectors.errors import PictureUndecodable
from detectors.pictures.drawing import annotate, colour_of
from jobs.records import DetectionRecord
from tests.unit.api.conftest import encoded

BOX = DetectionRecord("textbox", 0, 0.97, 40.0, 60.0, 120.0, 80.0)


def drawn(data: bytes, *found: DetectionRecord) -> tuple[Image.Image, str]:
    output, media_type = annotate(data, found)
    return Image.open(io.BytesIO(output)), media_type


@pytest.mark.parametrize(
    ("form", "mode", "expected"),
    [
        ("PNG", "RGB", ("PNG", "RGB")),
        ("PNG", "RGBA", ("PNG", "RGB")),
        ("PNG", "L", ("PNG", "RGB")),
        ("PNG", "P", ("PNG", "RGB")),
        ("PNG", "1", ("PNG", "RGB")),
        ("PNG", "I;16", ("PNG", "RGB")),
        ("JPEG", "RGB", ("JPEG", "RGB")),
        ("JPEG", "L", ("JPEG", "RGB")),
        ("JPEG", "CMYK", ("JPEG", "RGB")),
        ("WEBP", "RGB", ("WEBP", "RGB")),
        ("WEBP", "RGBA", ("WEBP", "RGB")),
        ("GIF", "P", ("PNG", "RGB")),
        ("BMP", "RGB", ("PNG", "RGB")),
        ("TIFF", "RGB", ("PNG", "RGB")),
    ],
)
def test_the_picture_keeps_a_format_that_browsers_show(form: str, mode: str, expected: tuple[str, str]) -> None:
    picture, media_type = drawn(encoded(form, (400, 330), 0, mode), BOX)

    assert (picture.format, picture.mode) == expected
    assert media_type == f"image/{expected[0].lower()}"
    assert picture.size == (400, 330)


@pytest.mark.parametrize("colour", ["black", "white", "gray", colour_of(0)])
def test_a_box_is_visible_on_every_background(colour: object) -> None:
    picture, _ = drawn(encoded("PNG", (400, 330), colour), BOX)

    around = {picture.getpixel((x, 70)) for x in range(36, 45)}
    assert colour_of(0) in around
    assert len(around) > 1, "the line can't be seen on the ground"


def test_every_class_has_its_own_colour() -> None:
    assert len({colour_of(number) for number in range(30)}) == 30


def test_the_best_box_is_drawn_on_top() -> None:
    worse = DetectionRecord("image", 1, 0.5, BOX.x1, BOX.y1, BOX.x2, BOX.y2)

    picture, _ = drawn(encoded("PNG", (400, 330)), BOX, worse)

    assert picture.getpixel((40, 70)) == colour_of(BOX.class_id)


@pytest.mark.parametrize("size", [(24, 16), (160, 90), (640, 480), (3000, 200), (40, 900)])
def test_a_label_stays_inside_the_picture(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    width, height = size
    corners = [
        DetectionRecord("actionset", number, 0.5, x, y, x + width / 4, y + height / 4)
        for number, (x, y) in enumerate([(0, 0), (width * 0.75, 0), (0, height * 0.75), (width * 0.75, height * 0.75)])
    ]
    written: list[tuple[float, float, float, float]] = []

    def text(pen: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, fill: object, font: object) -> None:
        written.append(pen.textbbox(xy, text, font=font))

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    picture, _ = drawn(encoded("PNG", size), *corners)

    assert len(written) == 4
    for left, top, right, bottom in written:
        assert 0 <= left < right <= picture.width
        assert 0 <= top < bottom <= picture.height


def test_tiny_picture_is_enlarged_with_its_boxes() -> None:
    picture, _ = drawn(encoded("PNG", (32, 32)), DetectionRecord("a", 0, 0.9, 8.0, 16.0, 24.0, 24.0))

    assert picture.size == (320, 320)
    assert picture.getpixel((81, 200)) == colour_of(0)


def test_a_huge_picture_is_made_smaller() -> None:
    picture, _ = drawn(encoded("JPEG", (9000, 3000)), DetectionRecord("a", 0, 0.9, 900.0, 300.0, 8100.0, 2700.0))

    assert picture.size == (2048, 683)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_turns_the_picture(form: str) -> None:
    picture = Image.new("RGB", (400, 330), "white")
    picture.paste("blue", (0, 0, 400, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right makes it upright
    output = io.BytesIO()
    picture.save(output, form, exif=exif)

    turned, _ = drawn(output.getvalue())

    assert turned.size == (330, 400)
    red, _, blue = turned.convert("RGB").getpixel((300, 200))
    assert (red < 30, blue > 200) == (True, True), "the blue edge belongs on the right"
    assert turned.getexif().get(0x0112, 1) == 1


def test_sixteen_bits_keep_their_grey() -> None:
    picture, _ = drawn(encoded("PNG", (400, 330), 0x8000, "I;16"))

    assert picture.getpixel((200, 200)) == (128, 128, 128)


def test_box_beyond_the_edge_is_cut() -> None:
    picture, _ = drawn(encoded("PNG", (400, 330)), DetectionRecord("a", 0, 0.9, -50.0, -50.0, 900.0, 900.0))

    assert picture.getpixel((399, 100)) != (255, 255, 255)


def test_many_boxes_are_drawn_quickly() -> None:
    many = [
        DetectionRecord("a", n % 9, 0.9, n % 40 * 20.0, n // 40 * 30.0, n % 40 * 20.0 + 9, 300.0) for n in range(1000)
    ]
    began = time.process_time()

    drawn(encoded("PNG", (800, 600)), *many)

    assert time.process_time() - began < 5


def test_damaged_picture_is_refused() -> None:
    whole = encoded("PNG", (400, 330), "red")

    with pytest.raises(PictureUndecodable):
        annotate(whole[:-60], [BOX])
