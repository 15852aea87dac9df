"""The parts that all routes of a process share."""

from dataclasses import dataclass
from typing import Self, cast

from flask import current_app

from api.drawing_pool import DrawingPool
from api.long_polling import LongPolling
from detectors.catalogue import Catalogue
from detectors.catalogue.live import LiveCatalogue
from jobs.annotated_pictures import AnnotatedPictures
from jobs.database import Database
from jobs.image_store import ImageStore
from jobs.queue.backpressure import Backpressure
from jobs.queue.doorbell import Doorbell
from jobs.settings import Settings
from jobs.store import unfinished

EXTENSION = "boxqueue"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that the routes call. Each of them is thread-safe."""

    settings: Settings
    db: Database
    store: ImageStore
    annotated: AnnotatedPictures
    drawing: DrawingPool
    doorbell: Doorbell
    backpressure: Backpressure
    live: LiveCatalogue
    long_polling: LongPolling

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The parts as the settings describe them. None of them connects before its first use.

        Raises `ConfigurationError`, or `CatalogueError` if a catalogue file cannot be used.
        """
        db = Database(settings.database_url, pool_size=settings.api_threads)
        doorbell = Doorbell(settings)
        return cls(
            settings=settings,
            db=db,
            store=ImageStore(settings.store_url),
            annotated=AnnotatedPictures(settings.store_url, settings.annotated_mb * 1e6),
            drawing=DrawingPool(api_threads=settings.api_threads),
            doorbell=doorbell,
            backpressure=Backpressure(db, settings.max_queued_jobs, settings.max_queued_seconds),
            live=LiveCatalogue(*settings.catalogue, aliases=settings.model_aliases, cache=settings.data / "models"),
            # A quarter of the threads stays free for requests that do not wait.
            long_polling=LongPolling(
                doorbell.listen, lambda ids: unfinished(db, ids), max_waiting=settings.api_threads * 3 // 4
            ),
        )

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, read from its files as they are now."""
        return self.live.now()


def service() -> Service:
    """The service of the application that handles the current request."""
    return cast(Service, current_app.extensions[EXTENSION])
