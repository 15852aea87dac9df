"""The generator of UI cards: endless labelled pictures to train on."""
