"""`python -m cli`: the `boxqueue` command, if its script is not on the PATH."""

from cli.main import main

main()
