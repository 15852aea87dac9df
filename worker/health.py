"""`python -m worker.health RUNTIME`: whether the worker of this host takes jobs. The HEALTHCHECK of the images.

Exits with status 0, or with 1 and a sentence that says what is wrong.
"""

import socket
import sys

from jobs.database import Database
from jobs.errors import BoxqueueError
from jobs.queue.worker_health import diagnose_worker
from jobs.settings import Settings


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m worker.health RUNTIME")
    try:
        found = diagnose_worker(Database(Settings.load().database_url, pool_size=1), sys.argv[1], socket.gethostname())
    except BoxqueueError as error:
        found = str(error)
    sys.exit(found)


if __name__ == "__main__":
    main()
