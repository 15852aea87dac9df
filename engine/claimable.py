"""Describes models for a claim: their version, their batch size, and the models on the same server."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from detectors.catalogue import ModelEntry
from jobs.records import ClaimableModel


def claimable(
    entries: Iterable[ModelEntry], batch_size: Callable[[ModelEntry], int], all_entries: Iterable[ModelEntry]
) -> dict[str, ClaimableModel]:
    """The models of `entries`, by name. `batch_size` is the most pictures in one claim of a model.

    `all_entries` are all models of the runtime, also those that get no jobs now: they may share a model server.
    """
    sharing = defaultdict[str | None, set[str]](set)
    for entry in all_entries:
        if not entry.is_embedded:
            sharing[entry.server_address].add(entry.name)
    return {
        entry.name: ClaimableModel(entry.digest, batch_size(entry), frozenset(sharing[entry.server_address]))
        for entry in entries
    }
