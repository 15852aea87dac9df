"""Opens TensorFlow's models to find their input and outputs, which the files state."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from detectors.onboarding.declared import Size
from detectors.onboarding.probe import (
    DEFAULT_BATCH_SIZE,
    OBJECT_DETECTION_API_NAMES,
    Outputs,
    Program,
    input_of,
    own_size_input,
)
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
        # Pictures in their own sizes can only run one by one.
        batches = [picture[None] for picture in batch] if isinstance(batch, list) else [batch]
        try:
            answers = [function(tf.constant(one)) for one in batches]
        except tf.errors.OpError as error:
            raise ValueError(error.message) from error
        if len(answers) == 1:
            return {name: output.numpy() for name, output in zip(names, answers[0], strict=True)}
        outputs = [np.concatenate([part.numpy() for part in parts]) for parts in zip(*answers, strict=True)]
        return dict(zip(names, outputs, strict=True))

    if set(names) >= OBJECT_DETECTION_API_NAMES and shape[1:] == [None, None, 3]:
        into = own_size_input(spec.dtype.name, size, name=spec.name)
    else:
        into = input_of(shape, spec.dtype.name, size, spec.name)
    # A model with a fixed batch gets that many pictures at a time, whatever `batch_size` says.
    return Program(run, [into], [(shape[0] or 2, DEFAULT_BATCH_SIZE)])
