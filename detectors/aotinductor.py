"""AOTInductor packages: a program compiled to native code once, for this processor or for any with AVX2.

A package is code, and it is run: take only those that you compiled yourself. `python -m detectors.aotinductor NAME`
compiles, which needs a C++ compiler; loading needs none.
"""

import argparse
import json
import platform
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors import command
from detectors.catalogue import ModelEntry
from detectors.digest import digest_of
from detectors.entries import copy_entry, home_of
from detectors.errors import CatalogueError, ModelUnusable
from detectors.preprocess import to_tensor

# What inductor is told for code that runs on every x86 processor since about 2013 (AVX2, FMA).
PORTABLE = {"cpp.march": "x86-64-v3", "cpp.simdlen": 256}
# The instruction sets behind `-march=x86-64-v3`, as Linux names them.
LEVEL_3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_1", "sse4_2", "ssse3")
# What compilers use where a processor has it; of its other flags no code needs any.
INSTRUCTIONS = (
    "adx",
    "aes",
    "amx",
    "avx",
    "bmi",
    "f16c",
    "fma",
    "gfni",
    "movbe",
    "pclmul",
    "sse",
    "ssse",
    "vaes",
    "vpcl",
)
FEATURES, TORCH, DEVICE = "BOXQUEUE_INSTRUCTIONS", "BOXQUEUE_TORCH", "AOTI_DEVICE_KEY"


def compile_package(entry: ModelEntry, target: Path, *, portable: bool) -> None:
    """Compiles an entry's exported program on the CPU. `portable`: for any processor with AVX2, otherwise for this one.

    Takes about a minute. Raises RuntimeError where there is no C++ compiler.
    """
    program = torch.export.load(entry.file)
    if program.example_inputs is None:  # only their shapes count, but it insists on some
        blank = np.zeros((entry.input.height, entry.input.width, 3), np.uint8)
        program.example_inputs = ((torch.from_numpy(to_tensor([blank] * 2, entry.input)),), {})
    needed = LEVEL_3 if portable and platform.machine() == "x86_64" else instructions()
    configuration: dict[str, Any] = {
        "freezing": True,
        "aot_inductor.metadata": {FEATURES: " ".join(needed), TORCH: torch.__version__},
        **(PORTABLE if portable and platform.machine() == "x86_64" else {}),
    }
    with torch.no_grad():
        torch._inductor.aoti_compile_and_package(program, package_path=str(target), inductor_configs=configuration)


def load_package(file: Path, device: str) -> Callable[[Any], Any]:
    """The program of a package. Raises ValueError where this machine can't run it: it is for another version of
    PyTorch, another device, or a processor that has more than this one."""
    said = _metadata(file)
    made_by = said.get(TORCH)
    if made_by is not None and made_by.partition("+")[0] != torch.__version__.partition("+")[0]:
        raise ValueError(
            f"it was compiled by PyTorch {made_by}, and this is {torch.__version__}; compile it anew: "
            "boxqueue models compile"
        )
    if missing := sorted(set(said.get(FEATURES, "").split()) - set(instructions())):
        raise ValueError(
            f"it was compiled for a processor with {', '.join(missing)}, which this one lacks; compile it here, or "
            "with --portable"
        )
    kind, _, index = device.partition(":")
    if said.get(DEVICE, kind) != kind:
        raise ValueError(f"it was compiled for {said[DEVICE]}, not for {kind}")
    package: Callable[[Any], Any] = torch._inductor.aoti_load_package(
        str(file), device_index=int(index) if index else -1
    )
    return package


def instructions() -> tuple[str, ...]:
    """The instruction sets of this processor that a compiler would use, as Linux names them; sorted."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return tuple(sorted(flag for flag in flags if flag.startswith(INSTRUCTIONS)))


def _metadata(file: Path) -> dict[str, str]:
    """What was written down when the package was compiled."""
    with zipfile.ZipFile(file) as package:
        said: dict[str, str] = {}
        for name in package.namelist():
            if name.endswith("_metadata.json"):
                said |= json.loads(package.read(name))
    if DEVICE not in said:
        raise ValueError("it is no package of AOTInductor")
    return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles the model and enters the package into the catalogue that has it. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return command.answer(lambda: _compiled(options))


def _compiled(options: argparse.Namespace) -> dict[str, str]:
    catalogue = command.catalogue_of(options)
    entry = catalogue.get(options.name)
    copy = options.call or f"{entry.name}-compiled"
    if copy in catalogue.entries:
        raise CatalogueError(f"There is a model {copy} already; --as NAME calls the new one differently.")
    if (entry.runtime, entry.format) != ("pytorch", "pt2"):
        raise ModelUnusable(
            f"Model {entry.name} is of the format {entry.format}; what can be compiled is an exported program, pt2."
        )
    entry.verify()
    home = home_of(entry.name, options.catalogue)
    package = home.parent / f"{copy}.pt2"
    try:
        compile_package(entry, package, portable=options.portable)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be compiled: {error}") from error
    changes = {"format": "aotinductor", "file": package.name, "sha256": digest_of(package)}
    copy_entry(home, entry.name, copy, changes)
    return {"model": copy, "catalogue": str(home), "file": str(package)}


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("detectors.aotinductor", "Compile an exported program; needs a C++ compiler.")
    parser.add_argument(
        "--portable", action="store_true", help="for any x86 processor with AVX2, not just for this one"
    )
    parser.add_argument("--as", dest="call", metavar="NAME", help="what the new entry is called [NAME-compiled]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
