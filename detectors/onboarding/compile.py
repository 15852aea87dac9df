"""`python -m detectors.onboarding.compile NAME`: compiles an exported program to an AOTInductor package.

The package is for this processor, or for any processor with AVX2. Compiling needs a C++ compiler, loading needs none.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from detectors.catalogue import ModelEntry
from detectors.digest import digest_of
from detectors.errors import CatalogueError, ModelUnusable
from detectors.onboarding import command
from detectors.onboarding.writing import copy_entry, home_of
from detectors.pictures.preprocess import to_tensor
from detectors.runtimes.aotinductor import FEATURES, PICTURES, TORCH, instructions, pictures
from detectors.runtimes.exported_program import load_program

# What inductor is told for code that runs on every x86 processor since about 2013 (AVX2, FMA).
PORTABLE = {"cpp.march": "x86-64-v3", "cpp.simdlen": 256}
# The instruction sets behind `-march=x86-64-v3`, as Linux names them.
LEVEL_3 = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_1", "sse4_2", "ssse3")


def compile_package(entry: ModelEntry, target: Path, *, portable: bool) -> None:
    """Compiles an entry's exported program on the CPU. `portable`: for any processor with AVX2, otherwise for this one.

    Takes about a minute. Raises RuntimeError where there is no C++ compiler, and ValueError where the program can't be
    loaded.
    """
    program = load_program(entry.file, "cpu")
    if program.example_inputs is None:  # only their shapes count, but it insists on some
        blank = np.zeros((entry.input.height, entry.input.width, 3), np.uint8)
        program.example_inputs = ((torch.from_numpy(to_tensor([blank] * 2, entry.input)),), {})
    needed = LEVEL_3 if portable and platform.machine() == "x86_64" else instructions()
    configuration: dict[str, Any] = {
        "freezing": True,
        "aot_inductor.metadata": {
            FEATURES: " ".join(needed),
            TORCH: torch.__version__,
            PICTURES: pictures(entry.input),
        },
        **(PORTABLE if portable and platform.machine() == "x86_64" else {}),
    }
    with torch.no_grad():
        torch._inductor.aoti_compile_and_package(program, package_path=str(target), inductor_configs=configuration)


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
    if entry.channels_last or entry.precision != "full":
        raise ModelUnusable(
            f"Model {entry.name}: compiled code has a layout and a precision of its own; leave channels_last and "
            "precision out of the entry."
        )
    entry.verify()
    home = home_of(entry.name, options.catalogue)
    package = home.parent / f"{copy}.pt2"
    try:
        compile_package(entry, package, portable=options.portable)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be compiled: {error}") from error
    changes = {"runtime": options.runtime, "format": "aotinductor", "file": package.name, "sha256": digest_of(package)}
    copy_entry(home, entry.name, copy, changes)
    return {"model": copy, "catalogue": str(home), "file": str(package)}


def _parser() -> argparse.ArgumentParser:
    parser = command.parser("detectors.onboarding.compile", "Compile an exported program; needs a C++ compiler.")
    parser.add_argument(
        "--portable", action="store_true", help="for any x86 processor with AVX2, not just for this one"
    )
    parser.add_argument(
        "--runtime", choices=("pytorch", "libtorch"), default="pytorch", help="whose workers serve it [pytorch]"
    )
    parser.add_argument("--as", dest="call", metavar="NAME", help="what the new entry is called [NAME-compiled]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
