"""The former place of `detectors.runtimes.libtorch`."""
