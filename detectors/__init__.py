"""The Detector contract, the catalogue of models, pre- and post-processing, and one module per runtime."""
