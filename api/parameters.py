"""Refuses unknown query parameters, so that a typo does not pass unnoticed."""

from flask import Flask, current_app, request

from wire.problems import invalid_parameters

# `read_upload` decides by the kind of their body.
_WITH_PICTURES = ("jobs.submit_jobs", "batches.fill_batch")


def register(app: Flask) -> None:
    """Refuses query parameters on routes without a query schema. On other routes the schema refuses unknown ones."""
    app.before_request(_refuse)


def _refuse() -> None:
    if not request.args or request.blueprint in (None, "pages", "swagger") or request.endpoint in _WITH_PICTURES:
        return
    view = current_app.view_functions[str(request.endpoint)]
    if "query" not in getattr(view, "__annotations__", {}):
        raise invalid_parameters(dict.fromkeys(request.args, "There is no such parameter."))
