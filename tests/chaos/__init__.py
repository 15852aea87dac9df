"""Breaks the service on purpose, and counts what became of its jobs: `python -m tests.chaos --help`.

`run` starts a whole service of real processes, sends pictures, applies faults by a seeded schedule, and writes all that
was accepted into a ledger. `check` reads only this ledger, HTTP and SQL. It finds jobs that were lost or doubled, or
that failed wrongly, in any service for which a ledger was written.
"""
