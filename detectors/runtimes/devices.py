"""Which device a runtime uses for a value of BOXQUEUE_DEVICE."""

from collections.abc import Sequence

from detectors.base import Detector
from detectors.errors import DeviceUnavailable
from detectors.runtimes.registry import REMOTE_RUNTIMES, registered, require


def load_runtime(runtime: str, wanted: str) -> tuple[type[Detector], str]:
    """The detector class of a runtime, and the device for `wanted` (auto, cpu, cuda or cuda:N). A runtime whose models
    run on a server has its own name as its device.

    Raises `ModelUnusable` if the runtime is not installed, and `DeviceUnavailable`.
    """
    require(runtime)
    detector_class: type[Detector] = registered()[runtime].load()
    if runtime in REMOTE_RUNTIMES:
        return detector_class, runtime
    return detector_class, choose_device(wanted, [] if wanted == "cpu" else detector_class.devices())


def choose_device(wanted: str, available: Sequence[str]) -> str:
    """The device for a value of BOXQUEUE_DEVICE; `available` lists the accelerators. Raises `DeviceUnavailable`."""
    if wanted == "cpu" or (wanted == "auto" and not available):
        return "cpu"
    if wanted in ("auto", "cuda") and available:
        return available[0]
    if wanted in available:
        return wanted
    raise DeviceUnavailable(
        f"BOXQUEUE_DEVICE: {wanted} was requested, but there is {', '.join(available) or 'no CUDA device'} here. "
        "Use BOXQUEUE_DEVICE=cpu or auto, or check the driver (nvidia-smi) and that the image was built for CUDA."
    )
