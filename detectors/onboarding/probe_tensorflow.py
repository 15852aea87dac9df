"""TensorFlow's models, opened to see what they take and give: both are written in them."""

from pathlib import Path

import tensorflow as tf

from detectors.onboarding.probe import MOST, Given, Program, Size, taken
from detectors.pictures.preprocess import Batch
from detectors.runtimes.tensorflow import LOADERS, settle


def open_program(file: Path, model_format: str, size: Size | None, device: str, threads: int) -> Program:
    """Loads a model. Raises ValueError where it takes no pictures, or RuntimeError and others where it is broken."""
    settle(device, threads)
    try:
        function, spec, names = LOADERS[model_format](str(file), None, None)
    except tf.errors.OpError as error:
        raise ValueError(error.message) from error
    shape = [None] * 4 if spec.shape.rank is None else spec.shape.as_list()

    def run(batch: Batch) -> Given:
        try:
            outputs = function(tf.constant(batch))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    # A model that insists on a number of pictures gets as many at a time, whatever its entry says.
    return Program(run, [taken(shape, spec.dtype.name, size, spec.name)], [(shape[0] or 2, MOST)])
