"""Entry points of packages that were installed before the modules moved still load the same classes."""

import pytest

from detectors.runtimes.registry import registered
from tests.conftest import DetectorProcesses
from tests.detector_process import class_path


@pytest.mark.parametrize(
    ("runtime", "former"),
    [
        ("pytorch", "detectors.pytorch:PyTorchDetector"),
        ("tensorflow", "detectors.tensorflow:TensorFlowDetector"),
        ("remote", "detectors.remote:RemoteDetector"),
        pytest.param("libtorch", "detectors.libtorch.detector:LibTorchDetector", marks=pytest.mark.libtorch),
    ],
)
def test_a_former_entry_point_loads_the_same_class(
    detector_processes: DetectorProcesses, runtime: str, former: str
) -> None:
    assert detector_processes[runtime].run(class_path, former) == registered()[runtime].value
