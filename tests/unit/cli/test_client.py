"""The client, against servers that do not answer as the service does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from flask import Flask

from cli.client import ServiceClient
from cli.errors import Refused, ServiceUnreachable
from tests.unit.cli.fake_service import serving


@contextmanager
def answering(app: Flask) -> Iterator[ServiceClient]:
    with serving(app) as url, ServiceClient(url) as client:
        yield client


def test_a_page_of_something_else_is_not_taken_for_an_answer() -> None:
    app = Flask("other")
    app.add_url_rule("/v1/jobs", view_func=lambda: "<html>Welcome to nginx!</html>")

    with answering(app) as client, pytest.raises(ServiceUnreachable, match="is not Boxqueue"):
        client.get("/v1/jobs")


def test_a_service_that_hangs_is_not_reported_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.TIMEOUT", httpx.Timeout(0.1, connect=5))
    end = threading.Event()
    app = Flask("hanging")
    app.add_url_rule("/v1/jobs", view_func=lambda: str(end.wait(60)))

    with answering(app) as client:
        with pytest.raises(ServiceUnreachable, match="took too long to answer"):
            client.get("/v1/jobs")
        end.set()


def test_lines_are_refused_like_anything_else() -> None:
    app = Flask("empty")

    with answering(app) as client, pytest.raises(Refused, match="status 404"):
        next(client.lines("/v1/batches/batch-1/results"))


def test_lines_of_a_service_that_is_away() -> None:
    with answering(Flask("gone")) as client:
        url = client.url

    with ServiceClient(url) as client, pytest.raises(ServiceUnreachable, match="No service answers"):
        next(client.lines("/v1/batches/batch-1/results"))
