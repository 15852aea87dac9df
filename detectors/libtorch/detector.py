"""The former path of `detectors.runtimes.libtorch`, which entry points of installed packages may still name."""

from detectors.runtimes.libtorch.detector import LibTorchDetector

__all__ = ["LibTorchDetector"]
