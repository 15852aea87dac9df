"""A runtime for tests. The colour of a picture decides what the detector answers, or how its process crashes.

It needs no framework. It is registered by an entry point, like the runtime of a user.
"""

import hashlib
import os
from pathlib import Path

from jobs.settings import ROOT
from tests import catalogues
from tests.poison.pictures import LABELS, MODEL_SIDE

MODEL = "poison"
# The checkout, which has the detector, and a folder that plays the role of an installed package.
PATH = os.pathsep.join([str(ROOT), str(Path(__file__).parent / "installed")])
"""The PYTHONPATH of processes that have the runtime `poison`."""
UNLOADABLE = "unloadable"
"""If a file of this name is beside the model, the model can't be loaded."""


def write_catalogue(folder: Path) -> Path:
    """Writes a model of this runtime and its catalogue. Returns the path of the catalogue."""
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
