"""A catalogue of tiny models, one for each installed runtime. They take almost no time, so that the service itself is
measured."""

import subprocess
import sys
from pathlib import Path

from detectors.digest import digest_of
from detectors.runtimes.registry import installed_runtimes
from jobs.settings import ROOT
from training.catalogue_entries import OBJECT_DETECTION_API_OUTPUT

FORMATS = {"pytorch": ("pt2", ""), "tensorflow": ("saved_model", OBJECT_DETECTION_API_OUTPUT)}
"""Runtime -> format of its model, and the lines of its entry that describe the outputs."""
ENTRY = """
[tiny-{runtime}]
runtime = "{runtime}"
format = "{format}"
file = "{file}"
sha256 = "{digest}"
labels = ["red", "green", "blue"]
batch_size = 8
[tiny-{runtime}.input]
width = 32
height = 32
layout = "NHWC"
dtype = "uint8"
[tiny-{runtime}.output]
floor_score = 0.1
{output}
"""
_WRITE = "import sys, pathlib; from tests.tiny_models import write; write(sys.argv[1], pathlib.Path(sys.argv[2]))"


def write_tiny_catalogue(folder: Path) -> Path:
    """Writes the models `tiny-pytorch` and `tiny-tensorflow` and their catalogue into `folder`. Returns its path."""
    entries = []
    for runtime in installed_runtimes():
        if runtime not in FORMATS:
            continue
        kind, output = FORMATS[runtime]
        file = folder / f"tiny.{kind}"
        # Each framework runs in its own process, as in the workers.
        subprocess.run([sys.executable, "-c", _WRITE, kind, str(file)], check=True, cwd=ROOT)
        entries.append(
            ENTRY.format(runtime=runtime, format=kind, file=file.name, digest=digest_of(file), output=output)
        )
    path = folder / "catalogue.toml"
    path.write_text("".join(entries))
    return path
