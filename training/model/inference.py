"""Runs a network that is not exported yet, in the same way as the workers run the exported one."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from detectors.boxes import boxes_in_picture
from detectors.catalogue import Output
from detectors.pictures.decode import decode
from detectors.pictures.preprocess import to_tensor
from training.boxes import Box
from training.catalogue_entries import FLOOR_SCORE
from training.data.datasets import Example
from training.data.views import INPUT
from training.evaluate.scores import Predictions
from training.model.network import CenterNet, Program


@torch.no_grad()
def predict(network: CenterNet, examples: Sequence[Example], labels: Sequence[str]) -> list[Predictions]:
    """The detections in each picture whose score is at least the floor score."""
    program = Program(network).eval()
    found: list[Predictions] = []
    for example in examples:
        boxes, scores, classes = program(load_inputs([example.file]))
        corners = boxes_in_picture(np.asarray(boxes[0]), example.width, example.height, INPUT, Output())
        found.append(
            [
                (labels[kind], score, Box(labels[kind], *corner))
                for corner, score, kind in zip(corners.tolist(), scores[0].tolist(), classes[0].tolist(), strict=True)
                if score >= FLOOR_SCORE
            ]
        )
    return found


@torch.no_grad()
def median_milliseconds(network: CenterNet, examples: Sequence[Example]) -> float:
    """Median time of the network and the decoding of its maps for one picture, on one core."""
    program = Program(network).eval()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times = []
    for example in examples:
        picture = load_inputs([example.file])
        started = time.perf_counter()
        program(picture)
        times.append(1000 * (time.perf_counter() - started))
    torch.set_num_threads(threads)
    return float(np.median(times))


def load_inputs(files: Iterable[Path]) -> torch.Tensor:
    """Reads pictures into the model's input, as a worker does: uint8 [n, 512, 512, 3]."""
    pictures = [decode(file.read_bytes(), INPUT).pixels for file in files]
    return torch.from_numpy(to_tensor(pictures, INPUT))
