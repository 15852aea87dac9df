"""The catalogue: which models there are, and how their inputs and outputs are written. No framework here."""

from detectors.catalogue.entries import PIPELINE_REVISION, Defaults, ModelEntry
from detectors.catalogue.interface import FLOATS, Columns, Input, Output, TensorColumns
from detectors.catalogue.reader import FORMAT_DEFAULTS, Catalogue, read_entry, read_tables

__all__ = [
    "FLOATS",
    "FORMAT_DEFAULTS",
    "PIPELINE_REVISION",
    "Catalogue",
    "Columns",
    "Defaults",
    "Input",
    "ModelEntry",
    "Output",
    "TensorColumns",
    "read_entry",
    "read_tables",
]
