"""How good a model is: what it finds in labelled pictures, and the measures of that."""
