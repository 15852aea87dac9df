"""The former path of `detectors.runtimes.pytorch`, which entry points of installed packages may still name."""

from detectors.runtimes.pytorch import PyTorchDetector

__all__ = ["PyTorchDetector"]
