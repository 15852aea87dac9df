"""Labelled pictures: folders of them, and the batches of views for the training."""
