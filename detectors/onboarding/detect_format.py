"""What a model file is, told from what is in it: its ending says too little (.pt2 may be two things, .pt three)."""

import zipfile
from pathlib import Path

from detectors.errors import ModelUnusable

RUNTIMES = {
    "pt2": "pytorch",
    "aotinductor": "pytorch",
    "torchscript": "pytorch",
    "torchvision": "pytorch",
    "saved_model": "tensorflow",
    "frozen_graph": "tensorflow",
}
"""Format -> the runtime that takes it."""
# A pickle, which torch.save wrote before it wrote zip archives.
PICKLE = b"\x80"
# The first field of a GraphDef: a node, with its length. No other of the formats begins so.
NODE = b"\x0a"


def recognise(file: Path) -> str:
    """The format of a model's file or folder, as the catalogue calls it. Whether it can be loaded shows later.

    Raises `ModelUnusable` where it is none of ours.
    """
    try:
        if file.is_dir():
            found = "saved_model" if (file / "saved_model.pb").is_file() else None
        elif zipfile.is_zipfile(file):
            found = _archive(file)
        else:
            with file.open("rb") as opened:
                found = {PICKLE: "torchvision", NODE: "frozen_graph"}.get(opened.read(1))
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelUnusable(f"{file} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    if found is None:
        raise ModelUnusable(
            f"{file} is no model that is known here: no exported program (torch.export), AOTInductor package, "
            "TorchScript or state dict of PyTorch, and no SavedModel (the folder with saved_model.pb) or frozen graph "
            "of TensorFlow."
        )
    return found


def _archive(file: Path) -> str | None:
    """The format of one of the zip archives that PyTorch writes."""
    with zipfile.ZipFile(file) as archive:
        # All is in one folder, which is called as whoever wrote it liked.
        names = {name.partition("/")[2] for name in archive.namelist()}
    if any(name.startswith("data/aotinductor/") for name in names):
        return "aotinductor"
    if any(name.startswith("models/") and name.endswith(".json") for name in names):
        return "pt2"
    if "constants.pkl" in names:
        return "torchscript"
    return "torchvision" if "data.pkl" in names else None
