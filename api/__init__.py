"""The HTTP service: a Flask application on top of `jobs`. `python -m api` serves it."""

from flask import Flask

from api import drain_body, parameters, problems
from api.openapi import make_app
from api.routes.batches import batches
from api.routes.health import health
from api.routes.images import images
from api.routes.jobs import jobs
from api.routes.models import models
from api.routes.queues import queues
from api.routes.results import results
from api.service import EXTENSION, Service
from jobs.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """The Flask application. It opens no connection before the first request.

    Raises `ConfigurationError`, or `CatalogueError` if a catalogue file cannot be used.
    """
    settings = settings or Settings.load()
    app = make_app()
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config["MAX_CONTENT_LENGTH"] = int(settings.max_request_mb * 1e6)
    app.extensions[EXTENSION] = Service.from_settings(settings)
    for part in (problems, drain_body, parameters):
        part.register(app)
    for blueprint in (jobs, images, batches, results, models, queues, health):
        app.register_api(blueprint)
    # Now and not at the first request for it, because several requests may come at once.
    app.generate_spec_json()  # type: ignore[no-untyped-call]
    return app
