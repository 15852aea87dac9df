"""Detects the format of a model file from its content: the ending is ambiguous (.pt2 has two formats, .pt three)."""

import zipfile
from pathlib import Path

from detectors.errors import ModelUnusable
from detectors.onboarding.other_formats import describe_other

RUNTIMES = {
    "pt2": "pytorch",
    "aotinductor": "pytorch",
    "torchscript": "pytorch",
    "torchvision": "pytorch",
    "saved_model": "tensorflow",
    "frozen_graph": "tensorflow",
    "onnx": "onnx",
}
"""Format -> its runtime."""
# The first byte of a pickle, which old versions of torch.save wrote in place of zip archives.
PICKLE_MAGIC = b"\x80"
# The first byte of a GraphDef: the tag of its field `node`. No other format begins with it.
GRAPH_DEF_MAGIC = b"\x0a"
# The first byte of an ONNX model: the tag of its field `ir_version`.
ONNX_MAGIC = b"\x08"
MODEL_SUFFIXES = (".onnx", ".pt2", ".torchscript", ".pt", ".pth", ".pb", ".safetensors")
SAFETENSORS_BRACE = 8
"""Where the JSON of a safetensors file begins, after its length."""


def detect_format(file: Path) -> str:
    """The catalogue's name for the format of a model file or folder. Does not check that it can be loaded.

    Raises `ModelUnusable` if it is no supported format; for well-known ones the sentence says how to get another file.
    """
    try:
        if other := describe_other(file):
            raise ModelUnusable(other)
        if file.is_dir():
            found = "saved_model" if (file / "saved_model.pb").is_file() else None
        elif zipfile.is_zipfile(file):
            found = _detect_archive(file)
        else:
            found = _detect_file(file)
    except (OSError, zipfile.BadZipFile) as error:
        raise ModelUnusable(f"{file} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    if found is None and file.is_dir() and (inside := _models_in(file)):
        raise ModelUnusable(f"{file} is a folder. Add the model in it: {' or '.join(map(str, inside))}.")
    if found is None:
        raise ModelUnusable(
            f"{file} has no supported format. Supported are ONNX models, exported programs (torch.export), AOTInductor "
            "packages, TorchScript, state dicts and safetensors of PyTorch, and SavedModels (folders with "
            "saved_model.pb) and frozen graphs of TensorFlow."
        )
    return found


def _models_in(folder: Path) -> list[Path]:
    """A few files in a folder that may be models."""
    return sorted(file for file in folder.iterdir() if file.suffix in MODEL_SUFFIXES)[:3]


def _detect_file(file: Path) -> str | None:
    with file.open("rb") as opened:
        start = opened.read(SAFETENSORS_BRACE + 1)
    if start[SAFETENSORS_BRACE:] == b"{" and file.suffix != ".onnx":
        return "torchvision"
    return {PICKLE_MAGIC: "torchvision", GRAPH_DEF_MAGIC: "frozen_graph", ONNX_MAGIC: "onnx"}.get(start[:1])


def _detect_archive(file: Path) -> str | None:
    """The format of a zip archive of PyTorch."""
    with zipfile.ZipFile(file) as archive:
        # Everything is in one folder, whose name may be anything.
        names = {name.partition("/")[2] for name in archive.namelist()}
    if any(name.startswith("data/aotinductor/") for name in names):
        return "aotinductor"
    if any(name.startswith("models/") and name.endswith(".json") for name in names):
        return "pt2"
    if "constants.pkl" in names:
        return "torchscript"
    return "torchvision" if "data.pkl" in names else None
