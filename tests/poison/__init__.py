"""A runtime for tests only: a picture's colour says what it answers, or what becomes of the process that looks at it.

It needs no framework, and it comes in by the entry point that any runtime of a user's own comes in by.
"""

import hashlib
import os
from pathlib import Path

from jobs.settings import ROOT
from tests import catalogues
from tests.poison.pictures import LABELS, MODEL_SIDE

MODEL = "poison"
# The checkout, which has the detector, and a folder that stands for an installed package.
PATH = os.pathsep.join([str(ROOT), str(Path(__file__).parent / "installed")])
"""For PYTHONPATH: processes that have it know the runtime `poison`."""
UNLOADABLE = "unloadable"
"""A file of this name beside the model: whoever loads it fails."""


def write_catalogue(folder: Path) -> Path:
    """A model of this runtime, and the catalogue that lists it."""
    content = b"nothing"
    (folder / "model").write_bytes(content)
    model = catalogues.entry(
        runtime="poison",
        format="none",
        file="model",
        sha256=hashlib.sha256(content).hexdigest(),
        labels=list(LABELS),
        batch_size=4,
        input={"width": MODEL_SIDE, "height": MODEL_SIDE, "resize": "stretch", "layout": "NHWC", "dtype": "uint8"},
    )
    return catalogues.write(folder / "catalogue.toml", {MODEL: model})
