"""Damages pictures of every format, and reads, decodes and draws them: `python -m tests.picture_fuzz SEED FILES`.

Prints a line of JSON: the number of files that were read, the refusals by their code, the slowest file and the peak of
memory. Exits with 1 and the file's name if an error has no code or a file takes too long.
"""

import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from PIL import Image, ImageDraw

from detectors.catalogue import Input
from detectors.errors import PictureError
from detectors.machine import peak_bytes, resident_bytes
from detectors.pictures.decode import decode
from detectors.pictures.drawing import annotate
from engine.inspection import inspect
from jobs.errors import PictureRefused

MEMORY_BYTES = 1_000_000_000
# What a process of this memory leaves for one picture.
MAX_PEAK_BYTES = 512_000_000
MAX_SECONDS = 2.0
LIMITS = {"max_bytes": 32e6, "max_pixels": 200e6}
FIT = Input(width=64, height=64)
BOX = ("textbox", 0, 0.9, 4.0, 4.0, 40.0, 30.0)
# Numbers that break arithmetic: limits of signed and unsigned fields, and sizes of large pictures.
NUMBERS = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x10000,
    60_000,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


def main(seed: int, files: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    rng, seeds = random.Random(seed), whole_pictures()
    answers, slowest = Counter[str](), 0.0
    for number in range(files):
        name, data = rng.choice(seeds)
        data = damaged(data, rng)
        began = time.process_time()
        try:
            answers[read(data)] += 1
        except (PictureError, PictureRefused) as error:
            answers[error.code] += 1
        except Exception:
            print(f"seed {seed}, file {number}: {kept(data, name)}", file=sys.stderr)  # noqa: T201
            raise
        seconds = time.process_time() - began
        slowest = max(slowest, seconds)
        if seconds > MAX_SECONDS or peak_bytes() > MAX_PEAK_BYTES:
            sys.exit(f"seed {seed}, file {number}: {seconds:.1f} s, peak {peak_bytes() >> 20} MB: {kept(data, name)}")
    print(json.dumps({"answers": answers, "slowest_s": round(slowest, 3), "peak_mb": peak_bytes() >> 20}))  # noqa: T201


def read(data: bytes) -> str:
    """All that the service does with a picture. Raises `PictureRefused` or `PictureError`."""
    picture = inspect(data, **LIMITS)
    decoded = decode(data, FIT, memory_bytes=MAX_PEAK_BYTES - resident_bytes())
    assert (decoded.width, decoded.height) == (picture.width, picture.height)
    annotate(data, [BOX], memory_bytes=MAX_PEAK_BYTES - resident_bytes())
    return "read"


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with one to eight faults: bytes and numbers exchanged, parts cut out, doubled or moved."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        if not made:
            break
        # Headers are where most decisions are made.
        at = rng.randrange(min(len(made), rng.choice((64, 400, len(made)))))
        kind = rng.randrange(6)
        if kind == 0:
            made[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            made[at] = rng.randrange(256)
        elif kind == 2:
            form = rng.choice(("<H", ">H", "<I", ">I"))
            number = rng.choice(NUMBERS) & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
            made[at : at + struct.calcsize(form)] = struct.pack(form, number)
        elif kind == 3:
            del made[at : at + rng.randrange(1, 40)]
        elif kind == 4:
            part = made[at : at + rng.randrange(1, 200)]
            made[at:at] = part * rng.choice((1, 1, 2, 20))
        else:
            del made[at:]
    return bytes(made)


def whole_pictures() -> list[tuple[str, bytes]]:
    """Pictures of every format and of most kinds that each has."""
    card = Image.new("RGB", (96, 64), "white")
    pen = ImageDraw.Draw(card)
    pen.rectangle((4, 4, 40, 30), outline="black")
    pen.text((8, 40), "Name", "navy")
    clear = card.convert("RGBA")
    clear.putalpha(128)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a card"
    kinds: list[tuple[str, Image.Image, dict[str, object]]] = [
        ("JPEG", card, {"exif": exif}),
        ("JPEG", card, {"progressive": True, "icc_profile": bytes(300)}),
        ("JPEG", card.convert("CMYK"), {}),
        ("PNG", card, {"exif": exif}),
        ("PNG", clear, {}),
        ("PNG", card.quantize(16), {"transparency": 3}),
        ("PNG", card.convert("1"), {}),
        ("PNG", Image.new("I;16", (96, 64), 40_000), {}),
        ("WEBP", card, {"exif": exif}),
        ("WEBP", clear, {"lossless": True}),
        ("WEBP", card, {"save_all": True, "append_images": [clear]}),
        ("BMP", card, {}),
        ("BMP", card.quantize(16), {}),
        ("GIF", card.quantize(16), {"transparency": 1}),
        ("GIF", card, {"save_all": True, "append_images": [clear]}),
        ("TIFF", card, {"tiffinfo": {274: 6}}),
        ("TIFF", card, {"big_tiff": True}),
        ("TIFF", Image.new("I;16", (96, 64), 40_000), {}),
        *(
            ("TIFF", card, {"compression": f"tiff_{name}"})
            for name in ("lzw", "adobe_deflate", "jpeg", "packbits")
            if name != "packbits"
        ),
        ("TIFF", card, {"compression": "packbits"}),
        ("TIFF", card.convert("1"), {"compression": "group4"}),
        ("TIFF", card.convert("CMYK"), {"compression": "tiff_lzw"}),
        ("AVIF", card, {"exif": exif, "speed": 10}),
        ("AVIF", clear, {"speed": 10}),
    ]
    made = []
    for number, (form, image, options) in enumerate(kinds):
        file = io.BytesIO()
        image.save(file, form, **options)
        made.append((f"{number}.{form.lower()}", file.getvalue()))
    heic = sorted((Path(__file__).parent / "pictures").glob("*.heic"))
    return made + [(file.name, file.read_bytes()) for file in heic]


def kept(data: bytes, name: str) -> str:
    """Writes a file that shows a fault, and returns its path."""
    file = Path(tempfile.mkdtemp()) / name
    file.write_bytes(data)
    return str(file)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
