"""The constants that the network, its copy in TensorFlow and the training data share. No framework is imported here."""

LABELS = ("textbox", "radiobutton", "checkbox", "actionset", "image", "rating")
"""The classes of the bundled model: the parts of a UI card."""
PEAK_AT_LEFT = frozenset({"radiobutton", "checkbox"})
"""Classes whose peak is at the control at the left end of the box instead of at its centre. Only the control, a ring or
a square, distinguishes the two classes, and it can be far from the centre of the box."""
INPUT_SIZE = 512
"""Width and height of the detector's input, in pixels."""
VIEW_SIZE = 448
"""Width and height during the training. A network that is trained on cropped and enlarged pictures works best on larger
pictures than those of its training (arXiv 1906.06423). The smaller size also makes a step a quarter faster."""
STRIDE = 4
"""Pixels of the input per cell of the maps: 512 pixels make 128 x 128 cells."""
DILATION = 2
"""Dilation of the last convolutions of the coarsest map, so that their receptive field covers a large picture."""
DETECTIONS = 100
"""Number of boxes for every picture, also if their scores are low."""
PEAK_WINDOW = (3, 5)
"""Rows and columns of the window in which only the cell with the highest heat is a peak. It is wider than high, because
it is hard to locate the centre of a line of text along the line."""
NMS_IOU = 0.6
"""Non-maximum suppression: if two boxes of one class have a higher intersection over union, the weaker is removed."""
MAX_LOG_DISTANCE = 4.9
"""The distances are predicted as logarithms of cells; e**4.9 is a little more than the 128 cells of a whole picture."""
SIDES, PER_SIDE = 4, 8
"""The edge map has 8 channels for left sides, then 8 for top, right and bottom ones."""
ALONG = (1 / 6, 1 / 2, 5 / 6)
"""Positions along a side of a box at which the edge map is sampled, as shares of the side's length."""
ACROSS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""Distances of these samples from the side, in cells."""
POINTS = len(ALONG) * len(ACROSS)
