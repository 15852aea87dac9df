"""The former path of `detectors.runtimes.libtorch`."""
