"""The HTTP service: Flask in front of `jobs`. `python -m api` serves it."""

from flask import Flask

from api import parameters, problems, unread
from api.batches import batches
from api.health import health
from api.images import images
from api.jobs import jobs
from api.models import models
from api.openapi import make_app
from api.queues import queues
from api.results import results
from api.service import EXTENSION, Service
from api.waiting import Waiters
from detectors.catalogue import Catalogue
from jobs.database import Database
from jobs.images import ImageStore
from jobs.queue import Queue
from jobs.settings import Settings
from jobs.store import unfinished


def create_app(settings: Settings | None = None) -> Flask:
    """The application; nothing connects before the first request.

    Raises `ConfigurationError`, or `CatalogueError` where the list of models can't be used.
    """
    settings = settings or Settings.load()
    app = make_app()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_request_mb * 1e6)
    db = Database(settings.database_url, pool_size=settings.api_threads)
    queue = Queue(settings)
    app.extensions[EXTENSION] = Service(
        settings=settings,
        db=db,
        store=ImageStore(settings.store_url),
        queue=queue,
        catalogue=Catalogue.load(settings.catalogue, settings.model_aliases),
        # A quarter of the threads stays for those who don't wait.
        waiters=Waiters(queue.listen, lambda ids: unfinished(db, ids), most=settings.api_threads * 3 // 4),
    )
    for part in (problems, unread, parameters):
        part.register(app)
    for blueprint in (jobs, images, batches, results, models, queues, health):
        app.register_api(blueprint)
    # Now, not at the first request for it: several may come at once.
    app.generate_spec_json()  # type: ignore[no-untyped-call]
    return app
