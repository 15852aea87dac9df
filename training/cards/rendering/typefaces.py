"""The fonts of generated cards: fonts of the machine, of font packages, and Pillow's built-in font."""

from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from random import Random

from PIL import ImageFont

Font = ImageFont.FreeTypeFont
Faces = tuple[str, str]
"""Font files: regular, bold. The empty string is Pillow's built-in scalable font."""

FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "C:/Windows/Fonts")
PACKAGES = "fonts_ttf"
"""The entry-point group of font packages. Each entry point loads a dictionary of names and font files."""
EXCLUDED = ("math", "mono", "symbol", "emoji", "icons", "cjk", "variable", "wingdings")
"""Fonts with one of these words in their file names are not used."""
SERIF = ("serif", "caladea", "times", "georgia")
SCRIPT = ("amatic", "intuitive", "comic", "caveat")


@cache
def families() -> dict[str, tuple[Faces, ...]]:
    """Usable fonts by kind: sans, serif, hand. Each list is sorted by file name."""
    files = [path for folder in FOLDERS for path in Path(folder).rglob("*.[to]tf")]
    for entry in entry_points(group=PACKAGES):
        files += [Path(file) for file in entry.load().values()]
    usable = {path.stem.lower(): str(path) for path in sorted(files, key=lambda path: (path.stem, str(path)))}
    found: dict[str, list[Faces]] = {"sans": [("", "")], "serif": [], "hand": []}
    for stem, path in usable.items():
        plain = stem.removesuffix("-regular")
        bold = usable.get(f"{plain}-bold") or usable.get(f"{plain}-semibold")
        kind = "hand" if any(w in stem for w in SCRIPT) else "serif" if any(w in stem for w in SERIF) else "sans"
        if any(word in stem for word in EXCLUDED) or stem.endswith("-bold") or not (bold or kind == "hand"):
            continue
        found[kind].append((path, bold or path))
    return {kind: tuple(pairs) for kind, pairs in found.items()}


def choose_faces(rng: Random, hand: bool = False) -> Faces:
    """Random fonts for a card, mostly without serifs, as on screens."""
    kinds = families()
    kind = "hand" if hand else "serif" if rng.random() < 0.1 else "sans"
    return rng.choice(kinds[kind] or kinds["sans"])


@cache
def font(file: str, size: int) -> Font:
    """A font at a size in pixels."""
    loaded = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    assert isinstance(loaded, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return loaded
