"""The routes of the HTTP service: each one parses, calls one function and answers."""
