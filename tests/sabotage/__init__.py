"""Sabotages: small faults that are made on purpose, to prove that the tests notice them.

Each table of the `*.toml` files is a sabotage: it breaks one promise or one rule by one edit of one file.
`test_sabotages.py` makes the edit in a copy of the tree and runs the named tests there. It fails if they pass.

To add a sabotage: write in `breaks` what a user or an operator would see. Copy `old` from the file, with enough lines
around it that it occurs only once. Name in `tests` the fastest tests that notice the fault, but none that fails only
by its timeout.
"""
