"""What the network, its twin in TensorFlow and the training data agree on. No framework here."""

LABELS = ("textbox", "radiobutton", "checkbox", "actionset", "image", "rating")
"""What the bundled model finds: the parts of a UI card."""
LEADING = frozenset({"radiobutton", "checkbox"})
"""What is found by the control at its left end instead of by its middle: there, ring or square, is what tells the two
apart, and the network would have to carry it along the words."""
INPUT_SIZE = 512
"""Width and height of what the detector looks at, in pixels."""
VIEW_SIZE = 448
"""The same while it learns. A network that has seen cut and enlarged pictures finds most on somewhat larger ones than
it learned from (arXiv 1906.06423), and smaller ones take a quarter less time to learn from."""
STRIDE = 4
"""Pixels of the input per cell of the maps: 512 pixels make 128 x 128 cells."""
WIDE = 2
"""Cells between the taps of the coarsest map's last convolutions, so that they see a larger picture from end to end."""
DETECTIONS = 100
"""How many boxes a picture gets, whatever their scores."""
WINDOW = (3, 5)
"""Rows and columns of cells in which only the strongest is a peak; wider than high, as the middle of a line of text is
hard to tell along the line."""
DOUBLE = 0.6
"""Of two boxes of one class that overlap by more than this (intersection over union) the stronger stays."""
LONGEST_LOG = 4.9
"""The distances are predicted as logarithms of cells; e**4.9 is a little more than the 128 cells of a whole picture."""
SIDES, PER_SIDE = 4, 8
"""The map of edges has 8 channels for left sides, then 8 for top, right and bottom ones."""
ALONG = (1 / 6, 1 / 2, 5 / 6)
"""Where on a side of a box that map is read, as shares of the side's length ..."""
ACROSS = (-2.0, -1.0, 0.0, 1.0, 2.0)
"""... and how far from it, in cells."""
POINTS = len(ALONG) * len(ACROSS)
