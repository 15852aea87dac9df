"""The `boxqueue` command: starts the service on one machine, and is an HTTP client of it."""
