"""Describes a model for a claim: its version, its batch size, and the models on the same server."""

from collections.abc import Iterable

from detectors.catalogue import ModelEntry
from jobs.records import ClaimableModel


def claimable(entry: ModelEntry, batch_size: int, all_entries: Iterable[ModelEntry]) -> ClaimableModel:
    """`all_entries` are all models of the runtime, also those that get no jobs now: they may share a model server."""
    address = entry.server_address
    sharing = () if address is None else (other.name for other in all_entries if other.server_address == address)
    return ClaimableModel(entry.digest, batch_size, frozenset(sharing))
