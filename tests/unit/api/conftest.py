"""The HTTP service with SQLite and a folder of pictures, without Redis."""

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from api import create_app
from api.service import EXTENSION, Service
from jobs.queue import claims
from jobs.queue.claims import Outcome
from jobs.records import ClaimableModel, DetectionRecord
from jobs.settings import Settings
from jobs.tables import new_id
from tests import catalogues
from tests.databases import SqliteFiles

MODEL = "cards-pytorch"
CATALOGUE = {
    MODEL: catalogues.entry(
        licence="MIT",
        description="Parts of a UI card.",
        labels=["textbox", "radiobutton"],
        input={"width": 384, "height": 384},
    )
}
FOUND = [
    DetectionRecord("textbox", 0, 0.97123, 21.0, 29.25, 135.125, 57.0),
    DetectionRecord("radiobutton", 1, 0.4, 5.0, 6.0, 20.0, 21.0),
    DetectionRecord("textbox", 0, 0.1, 1.0, 2.0, 30.0, 40.0),
]


def encoded(form: str = "PNG", size: tuple[int, int] = (160, 90), colour: str = "white", mode: str = "RGB") -> bytes:
    """A picture of one colour, as a file."""
    output = io.BytesIO()
    Image.new(mode, size, colour).save(output, form)
    return output.getvalue()


def form(*files: tuple[bytes, str], **fields: object) -> dict[str, object]:
    """A multipart form of the test client."""
    return {"model": MODEL, "image": [(io.BytesIO(data), name) for data, name in files], **fields}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    catalogue = catalogues.write(tmp_path / "catalogue.toml", CATALOGUE)
    (tmp_path / "images").mkdir()
    return Settings(
        data=tmp_path,
        catalogue=(catalogue,),
        model_aliases="cards=cards-pytorch",
        max_request_mb=2,
        max_request_pictures=8,
    )


@pytest.fixture
def app(settings: Settings, sqlite_files: SqliteFiles) -> Iterator[Flask]:
    sqlite_files.copy(settings.data / "boxqueue.db")
    app = create_app(settings)
    yield app
    app.extensions[EXTENSION].long_polling.close()
    app.extensions[EXTENSION].drawing.close()
    app.extensions[EXTENSION].db.close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def service(app: Flask) -> Service:
    found: Service = app.extensions[EXTENSION]
    return found


@pytest.fixture
def work(service: Service) -> Callable[..., list[str]]:
    """Works like a worker: claims and finishes all queued jobs. Returns their ids."""

    def work(found: Sequence[DetectionRecord] = FOUND, error: str | None = None, model: str = MODEL) -> list[str]:
        entry = service.catalogue.entries[model]
        done: list[str] = []
        while held := claims.claim(
            service.db,
            entry.runtime,
            {entry.name: ClaimableModel(entry.digest, 8)},
            worker_id=new_id(),
            task_id=new_id(),
            lease_seconds=15,
        ):
            outcomes = [
                Outcome(job.id, error_code=error, error_message="It is damaged.")
                if error
                else Outcome(job.id, found, timings_ms={"inference": 1.5, "total": 3.0})
                for job in held.jobs
            ]
            done += claims.finish(service.db, held, outcomes, device="cpu")
        return done

    return work
