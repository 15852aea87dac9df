"""`python -m detectors.onboarding.compile NAME`: compiles an exported program to an AOTInductor package.

The package runs on this processor, or on any processor with AVX2. Compiling needs a C++ compiler, loading does not.
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
from detectors.onboarding import command_line
from detectors.onboarding.edit_catalogue import copy_entry, find_catalogue
from detectors.pictures.preprocess import to_tensor
from detectors.runtimes.aotinductor import CPU_FLAGS_KEY, INPUT_KEY, TORCH_VERSION_KEY, describe_input, instructions
from detectors.runtimes.pytorch import load_program

# Settings of Inductor for code that runs on every x86 processor since about 2013 (AVX2, FMA).
PORTABLE_SETTINGS = {"cpp.march": "x86-64-v3", "cpp.simdlen": 256}
# The instruction sets of `-march=x86-64-v3`, as Linux names them.
X86_64_V3_FLAGS = ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "sse4_1", "sse4_2", "ssse3")


def compile_package(entry: ModelEntry, target: Path, *, portable: bool) -> None:
    """Compiles an entry's exported program for the CPU. `portable`: for any x86 processor with AVX2, not only this one.

    Takes about a minute. Raises RuntimeError if there is no C++ compiler, or ValueError if the program can't be loaded.
    """
    program = load_program(entry.file, "cpu")
    if program.example_inputs is None:  # the compiler needs some, and uses only their shapes
        blank = np.zeros((entry.input.height, entry.input.width, 3), np.uint8)
        program.example_inputs = ((torch.from_numpy(to_tensor([blank] * 2, entry.input)),), {})
    needed = X86_64_V3_FLAGS if portable and platform.machine() == "x86_64" else instructions()
    configuration: dict[str, Any] = {
        "freezing": True,
        "aot_inductor.metadata": {
            CPU_FLAGS_KEY: " ".join(needed),
            TORCH_VERSION_KEY: torch.__version__,
            INPUT_KEY: describe_input(entry.input),
        },
        **(PORTABLE_SETTINGS if portable and platform.machine() == "x86_64" else {}),
    }
    with torch.no_grad():
        torch._inductor.aoti_compile_and_package(program, package_path=str(target), inductor_configs=configuration)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compiles the model and adds the package to the catalogue of the model. Returns the exit code."""
    options = _parser().parse_args(arguments)
    return command_line.report(lambda: _compile(options))


def _compile(options: argparse.Namespace) -> dict[str, str]:
    catalogue = command_line.load_catalogue(options)
    entry = catalogue.get(options.name)
    copy = options.copy or f"{entry.name}-compiled"
    if copy in catalogue.entries:
        raise CatalogueError(f"There is already a model {copy}. Choose another name: --as NAME.")
    if (entry.runtime, entry.format) != ("pytorch", "pt2"):
        raise ModelUnusable(
            f"Model {entry.name} has the format {entry.format}, and only exported programs (pt2) can be compiled."
        )
    if entry.channels_last or entry.precision != "full":
        raise ModelUnusable(
            f"Model {entry.name}: channels_last and precision do not apply to compiled code. Leave them out of the "
            "entry."
        )
    entry.verify()
    home = find_catalogue(entry.name, options.catalogue)
    package = home.parent / f"{copy}.pt2"
    try:
        compile_package(entry, package, portable=options.portable)
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelUnusable(f"Model {entry.name}: {entry.file} can't be compiled: {error}") from error
    changes = {"runtime": options.runtime, "format": "aotinductor", "file": package.name, "sha256": digest_of(package)}
    copy_entry(home, entry.name, copy, changes)
    return {"model": copy, "catalogue": str(home), "file": str(package)}


def _parser() -> argparse.ArgumentParser:
    parser = command_line.model_parser(
        "detectors.onboarding.compile", "Compile an exported program. Needs a C++ compiler."
    )
    parser.add_argument(
        "--portable", action="store_true", help="for any x86 processor with AVX2, and not only for this one"
    )
    parser.add_argument(
        "--runtime", choices=("pytorch", "libtorch"), default="pytorch", help="runtime of the new entry [pytorch]"
    )
    parser.add_argument("--as", dest="copy", metavar="NAME", help="name of the new entry [NAME-compiled]")
    return parser


if __name__ == "__main__":
    sys.exit(main())
