"""The former path of `detectors.runtimes.remote.detector`, which entry points of installed packages may still name."""

from detectors.runtimes.remote.detector import RemoteDetector

__all__ = ["RemoteDetector"]
