"""Models in memory: the Detector contract, the catalogue, pre- and post-processing, one module per runtime."""
