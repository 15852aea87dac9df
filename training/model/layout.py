"""The constants that the network, its copy in TensorFlow and the training data share. No framework is imported here."""

LABELS = ("textbox", "radiobutton", "checkbox", "actionset", "image", "rating")
"""The classes of the bundled model: the parts of a UI card."""
LEADING = frozenset({"radiobutton", "checkbox"})
"""Classes whose peak is at the control at the left end of the box instead of at its centre. The control, a ring or a
square, is all that distinguishes the two; from the centre the network would have to look for it across the words."""
INPUT_SIZE = 512
"""Width and height of the detector's input, in pixels."""
VIEW_SIZE = 448
"""The same during the training. A network that was trained on cropped and enlarged pictures finds most on pictures that
are somewhat larger than those (arXiv 1906.06423). The smaller size also makes a step a quarter faster."""
STRIDE = 4
"""Pixels of the input per cell of the maps: 512 pixels make 128 x 128 cells."""
DILATION = 2
"""Of the coarsest map's last convolutions, so that they see even a large picture from end to end."""
DETECTIONS = 100
"""How many boxes a picture gets, whatever their scores."""
PEAK_WINDOW = (3, 5)
"""Rows and columns of cells in which only the strongest is a peak. The window is wider than high because it is hard to
locate the centre of a line of text along the line."""
NMS_IOU = 0.6
"""Non-maximum suppression: of two boxes of one class with a higher intersection over union, the stronger stays."""
MAX_LOG_DISTANCE = 4.9
"""The distances are predicted as logarithms of cells; e**4.9 is a little more than the 128 cells of a whole picture."""
SIDES, PER_SIDE = 4, 8
"""The edge map has 8 channels for left sides, then 8 for top, right and bottom ones."""
ALONG = (1 / 6, 1 / 2, 5 / 6)
"""Where along a side of a box the edge map is read, as shares of the side's length ..."""
ACROSS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""... and how far from the side, in cells."""
POINTS = len(ALONG) * len(ACROSS)
