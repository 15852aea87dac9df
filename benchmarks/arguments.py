"""The command line that the benchmarks share."""

import argparse


def parser_of(name: str, description: str | None, examples: str = "") -> argparse.ArgumentParser:
    """The parser of `python -m benchmarks.NAME`. `description`: the module's docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
