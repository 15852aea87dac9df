"""The parser and the check for missing packages of all commands.

Each command imports this module first. If packages are missing, the import ends the command with one sentence. This
module imports neither PyTorch nor TensorFlow, because an evaluation loads at most one of them.
"""

import argparse
import sys
from importlib.util import find_spec

PACKAGES = ("torch", "tensorflow", "pycocotools", "rich", "httpx", "font_roboto")
"""Both frameworks, the packages of requirements/training.txt that the code imports, and one of the fonts."""

if missing := [name for name in PACKAGES if find_spec(name) is None]:
    sys.exit(
        f"Training and evaluation need requirements/training.txt ({', '.join(missing)} missing): "
        "run `make .venv/training`."
    )


def new_parser(command: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser for `python -m COMMAND`. It shows both texts without wrapping them."""
    return argparse.ArgumentParser(
        prog=f"python -m {command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
