"""Looking at a picture, decoding it and scaling it, compared with other ways; and how much each changes the boxes.

python -m benchmarks.decoding [--model cards-pytorch] [--rounds 15]

It exits with 1 if a limit is missed.
"""

import io
import statistics
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.arguments import new_parser
from benchmarks.models.pictures import FIRST_SEED
from detectors.base import Detector
from detectors.boxes import iou
from detectors.catalogue import Catalogue, Input, ModelEntry
from detectors.pictures.decode import DecodedPicture, decode
from detectors.pictures.preprocess import content_size
from detectors.runtimes.registry import registered
from engine.inspection import inspect
from jobs.settings import Settings
from training.cards.generator import draw_card

PHOTO_SIZE, SMALL_SIZE = (4032, 3024), (640, 480)
PHOTOS, SMALLS = 8, 32
# Ratios of CPU time.
MAX_REDUCED, MAX_SMALL = 0.45, 0.70
# Milliseconds of a look at a header: for any file, and for each megabyte of it.
LOOK_MS, LOOK_MS_A_MEGABYTE = 2.0, 1.0
# For 99 % of the boxes.
MAX_SCORE_DIFFERENCE, MIN_IOU = 0.02, 0.98
Decode = Callable[[bytes], DecodedPicture]


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the answers of two ways of decoding are apart."""

    scores: list[float]
    ious: list[float]
    alone: int
    """Detections that only one of them has."""

    def __str__(self) -> str:
        return (
            f"{len(self.scores)} boxes: scores within {_percentile(self.scores, 99):.4f} for 99 %, "
            f"{max(self.scores):.4f} at most; IoU {_percentile(self.ious, 1):.4f} or more for 99 %, "
            f"{min(self.ious):.4f} at least; {self.alone} in only one"
        )


def photo(seed: int) -> bytes:
    """A JPEG of 12 megapixels: a card that lies on a table, a little out of focus, with the noise of a camera."""
    rng = np.random.default_rng(seed)
    card = draw_card(FIRST_SEED + seed, damage=False).image
    scale = 0.85 * min(PHOTO_SIZE[0] / card.width, PHOTO_SIZE[1] / card.height)
    large = card.resize((round(card.width * scale), round(card.height * scale)), Image.Resampling.BICUBIC)
    table = Image.new("RGB", PHOTO_SIZE, (176, 160, 140))
    table.paste(large, ((PHOTO_SIZE[0] - large.width) // 2, (PHOTO_SIZE[1] - large.height) // 2))
    pixels = np.asarray(table.filter(ImageFilter.GaussianBlur(2))).astype(np.float32)
    noisy = pixels + rng.normal(0, 4, (*pixels.shape[:2], 1)).astype(np.float32)
    return _jpeg(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))


def small(seed: int) -> bytes:
    """A JPEG of 640 × 480 pixels: a card."""
    return _jpeg(draw_card(FIRST_SEED + seed, damage=False).image.resize(SMALL_SIZE))


def by_pillow(data: bytes, fit: Input, *, reduced: bool) -> DecodedPicture:
    """Decoded and scaled by Pillow alone. `reduced`: to no more than the model needs, as it was done before."""
    with Image.open(io.BytesIO(data)) as image:
        width, height = image.size
        target = content_size(width, height, fit)
        if reduced:
            image.draft("RGB", target)
        image.load()
        return DecodedPicture(np.asarray(image.resize(target, Image.Resampling.BILINEAR)), width, height)


def cpu_ratio(files: Sequence[bytes], one: Decode, other: Decode, rounds: int) -> tuple[float, float, float]:
    """CPU milliseconds a picture of both, and their ratio; in pairs, because the machine's speed changes."""
    for decoded in (one, other):
        decoded(files[0])
    pairs = []
    for number in range(rounds * len(files)):
        data = files[number % len(files)]
        ways = (one, other) if number % 2 else (other, one)
        times = {way: _cpu_ms(way, data) for way in ways}
        pairs.append((times[one], times[other]))
    first, second = (statistics.median(column) for column in zip(*pairs, strict=True))
    return first, second, statistics.median(a / b for a, b in pairs)


def difference(detector: Detector, files: Sequence[bytes], one: Decode, other: Decode) -> Difference:
    """Compares the detections, in pixels of the whole pictures, from the model's default score up."""
    least = detector.entry.defaults.min_score or detector.entry.output.floor_score
    found = Difference([], [], 0)
    alone = 0
    for data in files:
        (boxes, scores, ids), others = (_answer(detector, way(data)) for way in (one, other))
        overlaps = iou(boxes, others[0]) * (ids[:, None] == others[2][None])
        matched = set()
        for row in np.flatnonzero(scores >= least):
            best = int(overlaps[row].argmax()) if overlaps.shape[1] else -1
            if best < 0 or overlaps[row, best] < 0.5 or best in matched:
                alone += 1
                continue
            matched.add(best)
            found.scores.append(float(abs(scores[row] - others[1][best])))
            found.ious.append(float(overlaps[row, best]))
        # Not those that are only just above the score.
        alone += len(set(np.flatnonzero(others[1] >= least + MAX_SCORE_DIFFERENCE).tolist()) - matched)
    return Difference(found.scores, found.ious, alone)


def looks() -> list[tuple[str, bytes]]:
    """Files whose headers are looked at: ordinary ones, and large ones of many parts."""
    form = Image.effect_noise((1600, 1200), 40).convert("RGB")
    kinds = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF")
    made = [(kind, _saved(form, kind)) for kind in kinds]
    png = dict(made)["PNG"]
    text = b"workflow\0\0" + zlib.compress(bytes(range(256)) * 20_000)
    chunk = len(text).to_bytes(4, "big") + b"zTXt" + text + zlib.crc32(b"zTXt" + text).to_bytes(4, "big")
    return [
        *made,
        ("PNG with 5 MB of packed text", png[:33] + chunk + png[33:]),
        ("JPEG of 12 megapixels", photo(0)),
        ("progressive JPEG", _saved(Image.effect_noise((4000, 4000), 80), "JPEG", quality=90, progressive=True)),
    ]


def main() -> None:
    parser = new_parser("decoding", __doc__)
    parser.add_argument("--model", default="cards-pytorch")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    held = [_looks(), _photos(arguments.model, arguments.rounds), _smalls(arguments.model, arguments.rounds)]
    sys.exit(0 if all(held) else 1)


def _looks() -> bool:
    held = True
    for name, data in looks():
        times = []
        for _ in range(20):
            started = time.process_time()
            inspect(data, max_bytes=1e9, max_pixels=1e9)
            times.append((time.process_time() - started) * 1000)
        limit = LOOK_MS + LOOK_MS_A_MEGABYTE * len(data) / 1e6
        milliseconds = statistics.median(times)
        held &= milliseconds <= limit
        print(f"look at {name:30} {len(data) / 1e6:5.1f} MB {milliseconds:7.3f} ms  {_said(milliseconds, limit, 'ms')}")
    return held


def _photos(model: str, rounds: int) -> bool:
    entry = _entry(model, 512)
    full = entry.input.model_copy(update={"decode": "full"})
    files = [photo(seed) for seed in range(PHOTOS)]

    def whole(data: bytes) -> DecodedPicture:
        return decode(data, full)

    def pillow(data: bytes) -> DecodedPicture:
        return by_pillow(data, entry.input, reduced=False)

    reduced, some = _now(entry), max(1, rounds // 4)
    one, other, ratio = cpu_ratio(files, reduced, pillow, some)
    print(f"12 megapixels to 512, reduced {one:.1f} ms, full by Pillow {other:.1f} ms: {ratio:.2f}", end="  ")
    print(_said(ratio, MAX_REDUCED))
    one, other, faster = cpu_ratio(files, reduced, whole, some)
    print(f"  reduced {one:.1f} ms, full with the faster scaling {other:.1f} ms: {faster:.2f}")
    apart = difference(_detector(entry), files, reduced, whole)
    print(f"  answers, reduced and full: {apart}")
    exact = _percentile(apart.scores, 99) <= MAX_SCORE_DIFFERENCE and _percentile(apart.ious, 1) >= MIN_IOU
    print(f"  99 % within {MAX_SCORE_DIFFERENCE} of a score and an IoU of {MIN_IOU}: {'held' if exact else 'MISSED'}")
    return exact and ratio <= MAX_REDUCED


def _smalls(model: str, rounds: int) -> bool:
    files = [small(seed) for seed in range(SMALLS)]
    at_384, at_512 = (_entry(model, size) for size in (384, 512))
    one, other, ratio = cpu_ratio(files, _now(at_384), _before(at_384), rounds)
    print(f"640 × 480 to 384, now {one:.2f} ms, before {other:.2f} ms: {ratio:.2f}  {_said(ratio, MAX_SMALL)}")
    # The bundled model takes 512 pixels only.
    apart = difference(_detector(at_512), files, _now(at_512), _before(at_512))
    print(f"  answers at 512, now and before, both from all pixels: {apart}")
    return ratio <= MAX_SMALL


def _now(entry: ModelEntry) -> Decode:
    return lambda data: decode(data, entry.input)


def _before(entry: ModelEntry) -> Decode:
    return lambda data: by_pillow(data, entry.input, reduced=True)


def _entry(model: str, size: int) -> ModelEntry:
    settings = Settings.load()
    catalogue = Catalogue.load(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models")
    entry = catalogue.get(model)
    return entry.model_copy(update={"input": entry.input.model_copy(update={"width": size, "height": size})})


def _detector(entry: ModelEntry) -> Detector:
    detector: Detector = registered()[entry.runtime].load()(entry, device="cpu", threads=1)
    return detector


def _answer(detector: Detector, decoded: DecodedPicture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    (found,) = detector.detect([decoded.pixels])
    return decoded.to_original(found.boxes), found.scores, found.class_ids


def _cpu_ms(way: Decode, data: bytes) -> float:
    started = time.process_time()
    way(data)
    return (time.process_time() - started) * 1000


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def _said(value: float, limit: float, unit: str = "") -> str:
    return f"limit {limit:.2f} {unit}".rstrip() + f": {'held' if value <= limit else 'MISSED'}"


def _jpeg(image: Image.Image) -> bytes:
    return _saved(image, "JPEG", quality=88)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


if __name__ == "__main__":
    main()
