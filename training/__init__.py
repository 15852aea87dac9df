"""How the bundled model was made, and how to make another: `python -m training --help`.

`cards` draws pictures with known boxes (with `phrases`, `looks`, `sheet`, `parts` and `controls`), `data` reads real
ones and says what the network should answer, `model` is the network and the decoding (`layout` what all agree on),
`train` the loop, `evaluate` the measuring. `export` writes the files, with `twin` for the same network in TensorFlow
and `parity` for whether both find the same. `samples` draws the pictures in samples/ and `sample_files` saves them.
"""
