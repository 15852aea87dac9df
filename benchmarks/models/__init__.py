"""What the benchmarks of the models need: the bundled weights in every format, and pictures."""
