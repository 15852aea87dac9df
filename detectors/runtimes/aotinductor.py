"""AOTInductor packages: programs in native code, and what they require of a machine. No framework here.

`detectors.onboarding.compile` makes them. Loading a package runs its code, so use only packages that you compiled.
"""

import json
import zipfile
from pathlib import Path

from detectors.catalogue import Input

# Prefixes of the processor flags that a compiler uses; no code depends on other flags.
CPU_FLAG_PREFIXES = (
    "adx", "aes", "amx", "avx", "bmi", "f16c", "fma", "gfni", "movbe", "pclmul", "sse", "ssse", "vaes", "vpcl",
)  # fmt: skip
CPU_FLAGS_KEY, TORCH_VERSION_KEY, INPUT_KEY = "BOXQUEUE_INSTRUCTIONS", "BOXQUEUE_TORCH", "BOXQUEUE_PICTURES"
DEVICE_KEY = "AOTI_DEVICE_KEY"


def require_runnable(file: Path, version: str, device: str, input_: Input | None) -> None:
    """Raises ValueError if a package can't run here: it is for another version of PyTorch, another device, a processor
    with more instructions, or another input. The package itself does not check this: it reads past the end of a tensor
    that is too small."""
    metadata = _metadata(file)
    made_by = metadata.get(TORCH_VERSION_KEY)
    if made_by is not None and made_by.partition("+")[0] != version.partition("+")[0]:
        raise ValueError(
            f"PyTorch {made_by} compiled it, and this is {version}; compile it again: boxqueue models compile"
        )
    if missing := sorted(set(metadata.get(CPU_FLAGS_KEY, "").split()) - set(instructions())):
        raise ValueError(
            f"it was compiled for a processor with {', '.join(missing)}, which this one lacks; compile it on this "
            "machine, or with --portable"
        )
    wanted = describe_input(input_) if input_ else None
    if wanted and metadata.get(INPUT_KEY, wanted) != wanted:
        raise ValueError(f"it was compiled for {metadata[INPUT_KEY]}, but its entry says {wanted}")
    kind = device.partition(":")[0]
    if metadata[DEVICE_KEY] != kind:
        raise ValueError(f"it was compiled for {metadata[DEVICE_KEY]}, not for {kind}")


def describe_input(input_: Input) -> str:
    """The input that a program is compiled for: type, width, height and layout."""
    return f"{input_.dtype} {input_.width} × {input_.height} {input_.layout}"


def instructions() -> tuple[str, ...]:
    """The instruction sets of this processor that a compiler uses, as Linux names them, sorted."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ()
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return tuple(sorted(flag for flag in flags if flag.startswith(CPU_FLAG_PREFIXES)))


def _metadata(file: Path) -> dict[str, str]:
    """The metadata that was written when the package was compiled. Raises ValueError if it is no package."""
    with zipfile.ZipFile(file) as package:
        metadata: dict[str, str] = {}
        for name in package.namelist():
            if name.endswith("_metadata.json"):
                metadata |= json.loads(package.read(name))
    if DEVICE_KEY not in metadata:
        raise ValueError("it is no AOTInductor package")
    return metadata
