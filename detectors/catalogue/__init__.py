"""The catalogue: which models there are, and how their inputs and outputs are written. No framework here."""

from detectors.catalogue.entries import PIPELINE_REVISION, Defaults, Input, ModelEntry, Output
from detectors.catalogue.reader import FORMAT_DEFAULTS, Catalogue, read_entry, read_tables

__all__ = [
    "FORMAT_DEFAULTS",
    "PIPELINE_REVISION",
    "Catalogue",
    "Defaults",
    "Input",
    "ModelEntry",
    "Output",
    "read_entry",
    "read_tables",
]
