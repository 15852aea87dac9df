"""Small faults, made on purpose, and the tests that must see them: a suite is as good as what it finds.

Each table of the `*.toml` files here is a sabotage: it breaks one promise or one rule of the domain by one edit of one
file. `test_sabotages.py` makes each of them in a copy of the tree, runs there the tests that it names, and fails where
they pass.

To add one: say in `breaks` what the fault would do to somebody. Copy `old` from the file, with so many lines around it
that it occurs there only once. Name in `tests` the cheapest tests that see the fault, and none that fails only when its
time is up.
"""
