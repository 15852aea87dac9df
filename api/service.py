"""What the handlers of one process share."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from api.waiting import Waiters
from detectors.catalogue import Catalogue, ModelEntry, UnknownEntry  # type: ignore[attr-defined]
from jobs.database import Database
from jobs.errors import UnknownModel
from jobs.images import ImageStore
from jobs.queue import Queue
from jobs.settings import Settings

EXTENSION = "boxqueue"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that the handlers call. Thread-safe, each of them."""

    settings: Settings
    db: Database
    store: ImageStore
    queue: Queue
    catalogue: Catalogue
    waiters: Waiters

    def model(self, name: str) -> ModelEntry:
        """The catalogue's entry of that name or alias. Raises `UnknownModel`, which names the known ones."""
        try:
            return self.catalogue.get(name)
        except UnknownEntry as error:
            raise UnknownModel(error.name, error.known) from error


def service() -> Service:
    """The service of the application that answers the present request."""
    return cast(Service, current_app.extensions[EXTENSION])
