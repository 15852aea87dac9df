"""Which runtimes there are and which are installed, found without importing a framework."""

from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from detectors.errors import ModelUnusable
from detectors.runtimes import libtorch

GROUP = "boxqueue.detectors"
# The module that each runtime of ours stands on; `remote` has an HTTP client in place of a framework. A runtime from
# elsewhere counts as installed where it is registered.
FRAMEWORKS = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "remote": "httpx",
    "libtorch": "detectors.runtimes.libtorch.binding",
}
# Runtimes whose models run in other processes, on whatever device these have.
ELSEWHERE = frozenset({"remote"})
# Packages that bring the same framework under another name.
FLAVOURS = {"tensorflow": ("tensorflow", "tensorflow-cpu")}


def registered() -> dict[str, EntryPoint]:
    """Runtime name -> entry point of its `Detector` class."""
    return {point.name: point for point in entry_points(group=GROUP)}


def installed_runtimes() -> list[str]:
    """Names of the runtimes whose framework is installed here, sorted. Ours also need NumPy, which the API lacks."""
    return sorted(
        name for name in registered() if name not in FRAMEWORKS or (find_spec(FRAMEWORKS[name]) and find_spec("numpy"))
    )


def require(runtime: str) -> None:
    """Raises `ModelUnusable` where there is no such runtime, or its framework is not installed here."""
    if runtime not in registered():
        raise ModelUnusable(f"There is no runtime {runtime!r}; there are {', '.join(sorted(registered()))}.")
    if runtime in installed_runtimes():
        return
    if find_spec(FRAMEWORKS[runtime]) is not None:
        raise ModelUnusable(
            f"The runtime {runtime} needs NumPy, which is not installed here: install requirements/engine.txt."
        )
    if runtime == "libtorch":
        raise ModelUnusable("The runtime libtorch is not built here: make libtorch builds it.")
    raise ModelUnusable(
        f"The runtime {runtime} needs {FRAMEWORKS[runtime]}, which is not installed here: "
        f"install requirements/{runtime}.txt."
    )


def framework_version(runtime: str) -> tuple[str, str] | None:
    """(framework, version) that a runtime stands on; None for a runtime from elsewhere.

    Raises `PackageNotFoundError` where it is not installed, or OSError where it is not built.
    """
    if runtime == "libtorch":
        return runtime, libtorch.version()
    framework = FRAMEWORKS.get(runtime)
    if framework is None:
        return None
    *others, last = FLAVOURS.get(framework, (framework,))
    for package in others:
        try:
            return framework, version(package)
        except PackageNotFoundError:
            continue
    return framework, version(last)
