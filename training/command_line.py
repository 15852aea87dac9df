"""What all commands of this package share.

Each command imports this module first: where packages are missing, that ends it in one sentence. Neither PyTorch nor
TensorFlow is imported here, because an evaluation loads at most one of them.
"""

import argparse
import sys
from importlib.util import find_spec

PACKAGES = ("torch", "tensorflow", "pycocotools", "rich", "httpx", "font_roboto")
"""Both frameworks, and of requirements/training.txt what the code imports and one of the fonts."""

if missing := [name for name in PACKAGES if find_spec(name) is None]:
    sys.exit(
        f"Training and evaluation need requirements/training.txt ({', '.join(missing)} missing): "
        "run `make .venv/training`."
    )


def new_parser(command: str, description: str, examples: str = "") -> argparse.ArgumentParser:
    """A parser for `python -m COMMAND`, which shows both texts as they are."""
    return argparse.ArgumentParser(
        prog=f"python -m {command}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
