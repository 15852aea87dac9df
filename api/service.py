"""What the handlers of one process share."""

from dataclasses import dataclass
from typing import Self, cast

from flask import current_app

from api.waiting import Waiters
from detectors.catalogue import Catalogue, ModelEntry
from detectors.catalogue.live import LiveCatalogue
from detectors.errors import UnknownEntry
from jobs.database import Database
from jobs.errors import UnknownModel
from jobs.image_store import ImageStore
from jobs.queue.backpressure import Backpressure
from jobs.queue.doorbell import Doorbell
from jobs.settings import Settings
from jobs.store import unfinished

EXTENSION = "boxqueue"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that the handlers call. Thread-safe, each of them."""

    settings: Settings
    db: Database
    store: ImageStore
    queue: Doorbell
    pressure: Backpressure
    live: LiveCatalogue
    waiters: Waiters

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The parts that the settings name; none of them connects before its first use.

        Raises `ConfigurationError`, or `CatalogueError` where the list of models can't be used.
        """
        db = Database(settings.database_url, pool_size=settings.api_threads)
        queue = Doorbell(settings)
        # A quarter of the threads stays for those who don't wait.
        most = settings.api_threads * 3 // 4
        return cls(
            settings=settings,
            db=db,
            store=ImageStore(settings.store_url),
            queue=queue,
            pressure=Backpressure(db, settings.max_queued_jobs, settings.max_queued_seconds),
            live=LiveCatalogue(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models"),
            waiters=Waiters(queue.listen, lambda ids: unfinished(db, ids), most),
        )

    @property
    def catalogue(self) -> Catalogue:
        """As its files are now."""
        return self.live.now()

    def model(self, name: str) -> ModelEntry:
        """The catalogue's entry of that name or alias. Raises `UnknownModel`, which names the known ones."""
        try:
            return self.catalogue.get(name)
        except UnknownEntry as error:
            raise UnknownModel(error.name, error.known) from error


def service() -> Service:
    """The service of the application that answers the present request."""
    return cast(Service, current_app.extensions[EXTENSION])
