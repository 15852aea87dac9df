"""The worker: a Celery application that answers doorbells, claims jobs and runs detectors."""
