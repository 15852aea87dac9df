"""`python -m api`: serves the application with gunicorn, one process of several threads."""

import errno
import logging
import socket
import sys

from api import create_app
from api.server_worker import ServerWorker
from detectors.errors import CatalogueError
from jobs.errors import ConfigurationError, Unavailable
from jobs.image_store import ImageStore
from jobs.settings import Settings
from wire.server import Server

# When the service stops, running requests have this time to end. Those that wait for a job are answered at once.
GRACE_SECONDS = 10


def main() -> None:
    """Serves the application. Exits with status 2 and one sentence if a setting is wrong."""
    if len(sys.argv) != 1:
        sys.exit("usage: python -m api    (the settings come from the environment)")
    try:
        settings = Settings.load()
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        create_app(settings)
        _check_port(settings.host, settings.port)
        ImageStore(settings.store_url).prepare()
    except (ConfigurationError, CatalogueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)
    except Unavailable as error:
        # The image store may answer later. Until then /readyz reports it.
        logging.getLogger("api").warning("%s", error)
    logging.getLogger("api").info("serving on http://%s:%d", settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    Server(
        lambda: create_app(settings),
        log_level=settings.log_level,
        bind=f"{host}:{settings.port}",
        worker_class=ServerWorker,
        threads=settings.api_threads,
        graceful_timeout=GRACE_SECONDS,
        # The heartbeat comes from the main thread, which handles no requests. It stops only if the whole machine does.
        timeout=120,
        keepalive=15,
        proc_name="boxqueue-api",
    ).run()


def _check_port(host: str, port: int) -> None:
    """Raises `ConfigurationError` if the address cannot be used. gunicorn itself would retry for seconds."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"BOXQUEUE_PORT: another program uses {host}:{port}; choose another port."
            ) from error
        raise ConfigurationError(
            f"BOXQUEUE_HOST: the service cannot listen on {host}:{port}: {error.strerror}."
        ) from error


if __name__ == "__main__":
    main()
