"""Query parameters that nobody asked for: a typo must not pass silently, on routes without parameters either."""

from flask import Flask, current_app, request

from wire.problems import invalid_parameters


def register(app: Flask) -> None:
    """Refuses query parameters on routes that have none. Where a route has some, its schema refuses the others."""
    app.before_request(_refuse)


def _refuse() -> None:
    if not request.args or request.blueprint in (None, "pages", "swagger"):
        return
    view = current_app.view_functions[str(request.endpoint)]
    if "query" not in getattr(view, "__annotations__", {}):
        raise invalid_parameters(dict.fromkeys(request.args, "There is no such parameter."))
