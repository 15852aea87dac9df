"""The former place of `detectors.runtimes.tensorflow`: entry points of installed packages may still name it."""

from detectors.runtimes.tensorflow import TensorFlowDetector

__all__ = ["TensorFlowDetector"]
