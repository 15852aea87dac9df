"""Celery's side: what takes doorbells, claims jobs and runs detectors on them."""
