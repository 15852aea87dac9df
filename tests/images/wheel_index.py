"""`python -m tests.images.wheel_index WHEEL…`: serves wheels on loopback as a package index (PEP 503), until Ctrl-C.

For `make images TORCH_INDEX=http://127.0.0.1:8899` on a machine that has PyTorch's CPU-only wheel as a file and can't
reach PyTorch's own index. The build has to share the machine's network (`BUILD="--network host"`).
"""

import os
import re
import sys
import tempfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = 8899


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for wheel in map(Path, sys.argv[1:]):
            project = Path(folder) / re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
            project.mkdir(exist_ok=True)
            os.symlink(wheel.resolve(), project / wheel.name)
        handler = partial(SimpleHTTPRequestHandler, directory=folder)
        with ThreadingHTTPServer(("127.0.0.1", PORT), handler) as server:
            sys.stdout.write(f"http://127.0.0.1:{PORT}\n")
            sys.stdout.flush()
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                return


if __name__ == "__main__":
    main()
