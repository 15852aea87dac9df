"""Labelled pictures: folders of them, and what a training step sees of them."""
