"""`python -m cli.local.supervised CONFIGURATION PARENT`: supervisord in the foreground, ending with the process PARENT.

A supervisor whose `boxqueue up` was killed would hold the port and the data folder's socket with nobody to stop it.
"""

import os
import sys

from supervisor.supervisord import main as supervisord

from cli.local.processes import end_with_parent


def main() -> None:
    configuration, parent = sys.argv[1:]
    end_with_parent()
    # The parent may have died before the kernel was asked.
    if os.getppid() == int(parent):
        supervisord(["--nodaemon", "--silent", "--configuration", configuration])


if __name__ == "__main__":
    main()
