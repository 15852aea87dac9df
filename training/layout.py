"""What the network, its twin in TensorFlow and the training data agree on. No framework here."""

LABELS = ("textbox", "radiobutton", "checkbox", "actionset", "image", "rating")
INPUT_SIZE = 384
STRIDE = 4
"""Pixels of the input per cell of the maps: 384 pixels make 96 x 96 cells."""
DETECTIONS = 100
"""How many boxes a picture gets, whatever their scores."""
LONGEST_LOG = 4.6
"""The distances are predicted as logarithms of cells; e**4.6 is a little more than the 96 cells of a whole picture."""
