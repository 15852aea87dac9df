"""The pictures in samples/."""
