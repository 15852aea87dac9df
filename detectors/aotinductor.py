"""AOTInductor packages, which `detectors.compile` makes: programs in native code, and what they need of a machine.

A package is code, and it is run: take only those that you compiled yourself.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

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
    if said[DEVICE] != kind:
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
