"""`python -m cli.local.supervisor_process CONFIGURATION PARENT`: supervisord in the foreground.

It ends when the process PARENT ends. Otherwise the programs of a killed `boxqueue up` would keep the port and the
socket in the data folder.
"""

import os
import sys

from supervisor.supervisord import main as supervisord

from cli.local.processes import end_with_parent


def main() -> None:
    configuration, parent = sys.argv[1:]
    end_with_parent()
    # The parent may have ended before the line above.
    if os.getppid() == int(parent):
        supervisord(["--nodaemon", "--silent", "--configuration", configuration])


if __name__ == "__main__":
    main()
