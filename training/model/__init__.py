"""The network, its twin in TensorFlow, and the training of it."""
