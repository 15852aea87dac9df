"""The former place of `detectors.runtimes.pytorch`: entry points of installed packages may still name it."""

from detectors.runtimes.pytorch import PyTorchDetector

__all__ = ["PyTorchDetector"]
