"""Exported programs, `.pt2`: what `torch.export.save` writes, and the packages that they are compiled to."""

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

# Where in the archive the graph stands; the second is how PyTorch up to 2.7 wrote it.
GRAPH = re.compile(r"(.*/)?models/[^/]+\.json|serialized_exported_program\.json")


def load_program(file: Path, device: str) -> torch.export.ExportedProgram:
    """The program of a file, on a device. Raises ValueError where it can't be loaded, which names the version of
    PyTorch that wrote it if that is another one."""
    made_by = _made_by(file)
    try:
        program = torch.export.load(file)
    except Exception as error:  # what another version wrote may break it anywhere
        if made_by == torch.__version__:
            raise ValueError(f"PyTorch can't read it: {error}") from error
        raise ValueError(
            f"it was exported by PyTorch {made_by}, and this is {torch.__version__}, which can't read it; export it "
            "anew with this version"
        ) from error
    return program if device == "cpu" else move_to_device_pass(program, device)


def load_package(file: Path, device: str, fed: Input | None) -> Callable[[Any], Any]:
    """The program of an AOTInductor package. Raises ValueError where it can't be run here, which says why."""
    require_runnable(file, torch.__version__, device, fed)
    _, _, index = device.partition(":")
    package: Callable[[Any], Any] = torch._inductor.aoti_load_package(
        str(file), device_index=int(index) if index else -1
    )
    return package


def _made_by(file: Path) -> str:
    """The version of PyTorch that wrote a program. Raises ValueError where there is none in the file."""
    try:
        with zipfile.ZipFile(file) as archive:
            graph = next(name for name in archive.namelist() if GRAPH.fullmatch(name))
            return str(json.loads(archive.read(graph))["torch_version"])
    except (zipfile.BadZipFile, StopIteration, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            "it is no exported program, as torch.export.save writes one; a compiled one is of the format aotinductor"
        ) from error
