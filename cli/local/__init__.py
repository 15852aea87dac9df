"""A whole service on this machine: its processes, their supervisor, their data folder."""
