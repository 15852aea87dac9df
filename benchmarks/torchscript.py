"""The bundled network as TorchScript, and its weights as `benchmarks.raw` takes them.

python -m benchmarks.torchscript PROGRAM.pt2 SCRIPT WEIGHTS.npz
"""

import sys
import warnings
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from training import model
from training.export import trained
from training.layout import DETECTIONS, INPUT_SIZE


def highest(scores: torch.Tensor) -> torch.Tensor:
    """`training.model` reads scores as integers to order equal ones, of which tracing knows nothing."""
    return torch.topk(scores, DETECTIONS, dim=1).indices


def main() -> None:
    """Traces the program and writes both."""
    program, script, weights = map(Path, sys.argv[1:])
    network = trained(program)
    example = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    # They warn of sizes that become constants: here every picture has the same.
    warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
    with torch.no_grad(), patch.object(model, "_highest", highest):
        torch.jit.trace(model.Program(network).eval(), example).save(script)  # type: ignore[no-untyped-call]
    np.savez(weights, **{name: weight.numpy() for name, weight in network.state_dict().items()})


if __name__ == "__main__":
    main()
