"""Loads exported programs (`torch.export.save`) and AOTInductor packages, which are compiled from them."""

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.export.passes import move_to_device_pass

from detectors.catalogue import Input
from detectors.runtimes.aotinductor import require_runnable

# The file in the archive that holds the graph; the second name is that of PyTorch up to 2.7.
GRAPH = re.compile(r"(.*/)?models/[^/]+\.json|serialized_exported_program\.json")


def load_program(file: Path, device: str) -> torch.export.ExportedProgram:
    """The program of a file, on a device. Raises ValueError if it can't be loaded; the message names the version of
    PyTorch that wrote it if this one is another."""
    made_by = _made_by(file)
    try:
        program = torch.export.load(file)
    except Exception as error:  # a file of another version may raise anything
        if made_by == torch.__version__:
            raise ValueError(f"PyTorch can't read it: {error}") from error
        raise ValueError(
            f"PyTorch {made_by} exported it, and this is PyTorch {torch.__version__}, which can't read it; export it "
            "again with this version"
        ) from error
    return program if device == "cpu" else move_to_device_pass(program, device)


def load_package(file: Path, device: str, input_: Input | None) -> Callable[[Any], Any]:
    """The program of an AOTInductor package. Raises ValueError if it can't run here."""
    require_runnable(file, torch.__version__, device, input_)
    _, _, index = device.partition(":")
    package: Callable[[Any], Any] = torch._inductor.aoti_load_package(
        str(file), device_index=int(index) if index else -1
    )
    return package


def _made_by(file: Path) -> str:
    """The version of PyTorch that wrote a program. Raises ValueError if the file is no exported program."""
    try:
        with zipfile.ZipFile(file) as archive:
            graph = next(name for name in archive.namelist() if GRAPH.fullmatch(name))
            return str(json.loads(archive.read(graph))["torch_version"])
    except (zipfile.BadZipFile, StopIteration, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            "it is no exported program of torch.export.save; if it is a compiled one, its format is aotinductor"
        ) from error
