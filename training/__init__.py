"""How the bundled model was made, and how to make another.

Commands: `python -m training` trains on a labelled folder, `training.bundled` makes the bundled model and its
`model_card`, `training.evaluate` measures a model or a running service, `training.export` writes a model's files again,
`training.samples` draws the pictures in samples/.

Folders: `cards` generates labelled UI cards. `data` reads labelled folders and makes batches of augmented views.
`model` has the network, its training, and the same network in TensorFlow and for ONNX. `evaluate` measures precision.

At this level: all commands share `command_line`, the two commands that train share `train_command`, and
`catalogue_entries` writes the catalogue of a model.
"""
