"""The former path of `detectors.runtimes.tensorflow`, which entry points of installed packages may still name."""

from detectors.runtimes.tensorflow import TensorFlowDetector

__all__ = ["TensorFlowDetector"]
