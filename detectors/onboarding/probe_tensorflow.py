"""Opens TensorFlow's models to find their input and outputs, which the files state."""

from pathlib import Path

import tensorflow as tf

from detectors.onboarding.probe import DEFAULT_BATCH_SIZE, Outputs, Program, Size, input_of
from detectors.pictures.preprocess import Batch
from detectors.runtimes.tensorflow import LOADERS, configure


def open_program(file: Path, model_format: str, size: Size | None, device: str, threads: int) -> Program:
    """Loads a model. Raises ValueError if it takes no pictures, or RuntimeError and others if it is broken."""
    configure(device, threads)
    try:
        function, spec, names = LOADERS[model_format](str(file), None, None)
    except tf.errors.OpError as error:
        raise ValueError(error.message) from error
    shape = [None] * 4 if spec.shape.rank is None else spec.shape.as_list()

    def run(batch: Batch) -> Outputs:
        try:
            outputs = function(tf.constant(batch))
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error
        return {name: output.numpy() for name, output in zip(names, outputs, strict=True)}

    # A model with a fixed batch gets that many pictures at a time, whatever `batch_size` says.
    return Program(run, [input_of(shape, spec.dtype.name, size, spec.name)], [(shape[0] or 2, DEFAULT_BATCH_SIZE)])
