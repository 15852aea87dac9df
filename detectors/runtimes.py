"""Which runtimes there are and which are installed, found without importing a framework."""

from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec

GROUP = "boxqueue.detectors"
# The framework that each runtime of ours stands on. One from elsewhere counts as installed where it is registered.
FRAMEWORKS = {"pytorch": "torch"}


def registered() -> dict[str, EntryPoint]:
    """Runtime name -> entry point of its `Detector` class."""
    return {point.name: point for point in entry_points(group=GROUP)}


def installed_runtimes() -> list[str]:
    """Names of the runtimes whose framework is installed here, sorted."""
    return sorted(name for name in registered() if name not in FRAMEWORKS or find_spec(FRAMEWORKS[name]) is not None)
