"""TARGET_API: which way through the code an image is built for, and with it which models of the catalogue it has."""

from collections.abc import Mapping

from detectors.catalogue import ModelEntry

# TARGET_API -> the runtime, and the one format where the runtime has several ways.
TARGETS = {
    "pytorch": ("pytorch", None),
    "saved_model": ("tensorflow", "saved_model"),
    "frozen_graph": ("tensorflow", "frozen_graph"),
    "remote": ("remote", None),
    "libtorch": ("libtorch", None),
}


def of_target(entries: Mapping[str, ModelEntry], target: str) -> dict[str, ModelEntry]:
    """Those of the entries that go that way, in their order."""
    runtime, only = TARGETS[target]
    return {
        name: entry
        for name, entry in entries.items()
        if entry.runtime == runtime and (only is None or entry.format == only)
    }
