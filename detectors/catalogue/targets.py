"""TARGET_API: the runtime and format that an image is built for, which decides its models of the catalogue."""

from collections.abc import Mapping

from detectors.catalogue import ModelEntry

# TARGET_API -> the runtime, and the only format if the target takes just one.
TARGETS = {
    "pytorch": ("pytorch", None),
    "saved_model": ("tensorflow", "saved_model"),
    "frozen_graph": ("tensorflow", "frozen_graph"),
    "onnx": ("onnx", None),
    "remote": ("remote", None),
    "libtorch": ("libtorch", None),
}


def entries_for_target(entries: Mapping[str, ModelEntry], target: str) -> dict[str, ModelEntry]:
    """The entries of that target, in their order."""
    runtime, only_format = TARGETS[target]
    return {
        name: entry
        for name, entry in entries.items()
        if entry.runtime == runtime and (only_format is None or entry.format == only_format)
    }
