"""The network, its training, and the same network in TensorFlow and as an ONNX model."""
