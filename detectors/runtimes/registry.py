"""Which runtimes are registered and installed. Imports no framework."""

from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from detectors.errors import ModelUnusable
from detectors.runtimes import libtorch

GROUP = "boxqueue.detectors"
# Runtime -> the module that it needs; `remote` needs an HTTP client, and no framework. A runtime of another package
# counts as installed if it is registered.
FRAMEWORKS = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "onnx": "onnxruntime",
    "remote": "httpx",
    "libtorch": "detectors.runtimes.libtorch.binding",
}
# Runtimes whose models run on a server, so that the worker needs no device.
REMOTE_RUNTIMES = frozenset({"remote"})
# Framework -> the packages that contain it.
FRAMEWORK_PACKAGES = {
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
}


def registered() -> dict[str, EntryPoint]:
    """Runtime name -> entry point of its `Detector` class."""
    return {point.name: point for point in entry_points(group=GROUP)}


def installed_runtimes() -> list[str]:
    """Names of the runtimes whose framework is installed here, sorted. Ours also need NumPy, which the API lacks."""
    return sorted(
        name for name in registered() if name not in FRAMEWORKS or (find_spec(FRAMEWORKS[name]) and find_spec("numpy"))
    )


def require(runtime: str) -> None:
    """Raises `ModelUnusable` if there is no such runtime, or its framework is not installed."""
    if runtime not in registered():
        raise ModelUnusable(f"There is no runtime {runtime!r}; there are {', '.join(sorted(registered()))}.")
    if runtime not in installed_runtimes():
        if runtime == "libtorch":
            raise ModelUnusable("The runtime libtorch is not built here. Build it: make libtorch.")
        raise ModelUnusable(
            f"The runtime {runtime} needs {FRAMEWORKS[runtime]} and NumPy, which are not both installed here. "
            f"Install requirements/{runtime}.txt."
        )


def framework_version(runtime: str) -> tuple[str, str] | None:
    """The framework of a runtime and its version; None for a runtime of another package.

    Raises `PackageNotFoundError` if it is not installed, or OSError if it is not built.
    """
    if runtime == "libtorch":
        return runtime, libtorch.version()
    framework = FRAMEWORKS.get(runtime)
    if framework is None:
        return None
    *others, last = FRAMEWORK_PACKAGES.get(framework, (framework,))
    for package in others:
        try:
            return framework, version(package)
        except PackageNotFoundError:
            continue
    return framework, version(last)
