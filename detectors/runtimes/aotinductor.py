"""AOTInductor packages: programs in native code, and what they need of a machine.

`detectors.onboarding.compile` makes them.

A package is code, and it is run: take only those that you compiled yourself. No framework here.
"""

import json
import zipfile
from pathlib import Path

from detectors.catalogue import Input

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
FEATURES, TORCH, PICTURES = "BOXQUEUE_INSTRUCTIONS", "BOXQUEUE_TORCH", "BOXQUEUE_PICTURES"
DEVICE = "AOTI_DEVICE_KEY"


def require_runnable(file: Path, version: str, device: str, fed: Input | None) -> None:
    """Raises ValueError where a package can't be run here: it is for another version of PyTorch than this one, another
    device, a processor that has more than this one, or other pictures than it is to be fed with. It would not notice:
    it reads past the end of what is too small."""
    said = _metadata(file)
    made_by = said.get(TORCH)
    if made_by is not None and made_by.partition("+")[0] != version.partition("+")[0]:
        raise ValueError(
            f"it was compiled by PyTorch {made_by}, and this is {version}; compile it anew: boxqueue models compile"
        )
    if missing := sorted(set(said.get(FEATURES, "").split()) - set(instructions())):
        raise ValueError(
            f"it was compiled for a processor with {', '.join(missing)}, which this one lacks; compile it here, or "
            "with --portable"
        )
    wanted = pictures(fed) if fed else None
    if wanted and said.get(PICTURES, wanted) != wanted:
        raise ValueError(f"it was compiled for {said[PICTURES]}, but its entry says {wanted}")
    kind = device.partition(":")[0]
    if said[DEVICE] != kind:
        raise ValueError(f"it was compiled for {said[DEVICE]}, not for {kind}")


def pictures(fed: Input) -> str:
    """What a program is compiled for: type, width, height and layout."""
    return f"{fed.dtype} {fed.width} × {fed.height} {fed.layout}"


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
