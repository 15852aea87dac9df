"""The command line that the benchmarks share."""

import argparse


def new_parser(name: str, description: str | None, examples: str = "") -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks.NAME`. `description` is the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
