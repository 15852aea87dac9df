"""`python -m cli`: the `boxqueue` command where its script is not on the PATH."""

from cli.main import main

main()
