"""The catalogue: which models there are, and how their inputs and outputs are written. No framework here."""

from detectors.catalogue.entries import PIPELINE_REVISION, Defaults, Input, ModelEntry, Output
from detectors.catalogue.reader import OF_FORMAT, Catalogue, read_entry, read_tables

__all__ = [
    "OF_FORMAT",
    "PIPELINE_REVISION",
    "Catalogue",
    "Defaults",
    "Input",
    "ModelEntry",
    "Output",
    "read_entry",
    "read_tables",
]
