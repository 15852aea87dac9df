"""The generator of UI cards: any number of labelled pictures for the training."""
