"""The `boxqueue` command: starts the service on one machine, and talks HTTP to it like any client."""
