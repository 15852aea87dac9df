"""How the bundled model was made, and how to make another.

Commands: `python -m training` trains on a labelled folder, `training.bundled` makes the bundled model with its `card`,
`training.evaluate` measures a model or a running service, `training.export` writes a model's files again,
`training.samples` draws the pictures in samples/ (`sample_files` saves them).

From pictures to weights: `datasets` reads labelled folders (`annotations` their files), `views` makes of a picture what
the network sees, `targets` what it should answer, `batches` puts these together; `model` is the network and the
decoding of what it says, `borders` its second look at the sides of boxes (`layout` is what all agree on); `train` is
the loop, which commands run through `learning`.

From weights to files: `export`, with `twin` for the same network in TensorFlow, `parity` for whether both find the
same, `entries` for the catalogue.

How good it is: `scores`, on what is found by a network (`trial`), a model (`answers`) or a running `service`; `folds`
for cross-validation. `display` is what the terminal shows.

Generated cards: `cards` draws one and `collection` a folder of them. Its `parts`, `rows` and `tables`, `controls`,
`choices` (of `options` with `toggles`) stand on a `sheet` in one of many `looks`, with `phrases`, `typefaces`, `icons`
and `photos`; then comes `damage`.
"""
