"""The former place of `detectors.runtimes.remote`: entry points of installed packages may still name it."""

from detectors.runtimes.remote.detector import RemoteDetector

__all__ = ["RemoteDetector"]
