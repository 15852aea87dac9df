"""Writes the bundled network as TorchScript, as an exported program whose normalisations are not folded into the
convolutions, and its weights for `benchmarks.models.raw`.

python -m benchmarks.models.programs PROGRAM.pt2 SCRIPT UNFOLDED.pt2 WEIGHTS.npz
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

from jobs.settings import ROOT
from training.export import load_network, unfold_batch_norm, write_program
from training.model.inference import load_inputs
from training.model.layout import DETECTIONS, INPUT_SIZE
from training.model.network import Program


def highest(scores: torch.Tensor) -> torch.Tensor:
    """Indices of the highest scores. `training.model.network` sorts scores as integers, which tracing can't record."""
    return torch.topk(scores, DETECTIONS, dim=1).indices


def main() -> None:
    """Writes the three files."""
    program, script, unfolded, weights = map(Path, sys.argv[1:])
    network = load_network(program)
    example = torch.zeros(2, INPUT_SIZE, INPUT_SIZE, 3, dtype=torch.uint8)
    # Tracing warns that sizes become constants. This is correct here, because all pictures have the same size.
    warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
    with torch.no_grad():
        torch.jit.trace(Program(network, highest).eval(), example).save(script)  # type: ignore[no-untyped-call]
    pictures = load_inputs(sorted((ROOT / "samples").glob("*.png")))
    pixels = pictures.permute(0, 3, 1, 2).to(torch.float32) / 127.5 - 1.0
    write_program(Program(unfold_batch_norm(network, pixels)).eval(), unfolded)
    np.savez(weights, **{name: weight.numpy() for name, weight in network.state_dict().items()})


if __name__ == "__main__":
    main()
