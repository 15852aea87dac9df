"""Breaking the service on purpose, and counting afterwards: `python -m tests.chaos --help`.

`run` starts a whole service of real processes, feeds it pictures, breaks it by a seeded schedule and writes down all
that was accepted (the ledger). `check` knows nothing but that ledger, HTTP and SQL, and tells whether anything was
lost, doubled or blamed wrongly; it can be pointed at any service that a ledger was written for.
"""
