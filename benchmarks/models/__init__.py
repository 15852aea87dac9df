"""Models and pictures for the benchmarks: the bundled weights in every format, a tiny model, generated cards."""
