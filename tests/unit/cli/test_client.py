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


def test_a_page_of_another_program_is_an_error() -> None:
    app = Flask("other")
    app.add_url_rule("/v1/jobs", view_func=lambda: "<html>Welcome to nginx!</html>")

    with answering(app) as client, pytest.raises(ServiceUnreachable, match="is not Boxqueue"):
        client.get("/v1/jobs")


def test_a_service_that_hangs_is_not_reported_as_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.client.TIMEOUT", httpx.Timeout(0.1, connect=5))
    end = threading.Event()
    app = Flask("hanging")
    app.add_url_rule("/v1/jobs", view_func=lambda: str(end.wait(60)))

    with answering(app) as client:
        with pytest.raises(ServiceUnreachable, match="took too long to answer"):
            client.get("/v1/jobs")
        end.set()


def test_a_refused_stream_of_lines_is_an_error() -> None:
    app = Flask("empty")

    with answering(app) as client, pytest.raises(Refused, match="status 404"):
        next(client.lines("/v1/batches/batch-1/results"))


def test_a_stream_of_lines_from_a_stopped_service_is_an_error() -> None:
    with answering(Flask("gone")) as client:
        url = client.url

    with ServiceClient(url) as client, pytest.raises(ServiceUnreachable, match="No service answers"):
        next(client.lines("/v1/batches/batch-1/results"))
