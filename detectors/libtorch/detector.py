"""The former place of `detectors.runtimes.libtorch.detector`: entry points of installed packages may still name it."""

from detectors.runtimes.libtorch.detector import LibTorchDetector

__all__ = ["LibTorchDetector"]
