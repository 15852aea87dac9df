"""Reads the sabotages of the `*.toml` files in this folder."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A fault that is made by one edit of one file."""

    name: str
    breaks: str
    """What a user or an operator would see."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Ids of tests. At least one of them has to fail."""

    def make(self, tree: Path) -> None:
        """Makes the fault in a copy of the tree. Raises `ValueError` if `old` does not occur exactly once."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        number = text.count(self.old)
        if number != 1:
            raise ValueError(
                f"The `old` text of the sabotage {self.name} occurs {number} times in {self.file} and not once. The "
                "code has changed. Copy the new text into `old`; if it occurs several times, add lines around it. "
                f"If the promise no longer exists, delete the sabotage. It says: {self.breaks}\n{self.old}"
            )
        sabotaged = text.replace(self.old, self.new)
        if path.suffix == ".py":
            # A syntax error would fail every test, so it would prove nothing.
            compile(sabotaged, self.file, "exec")
        path.write_text(sabotaged, encoding="utf-8")


def sabotages() -> list[Sabotage]:
    """Returns all sabotages."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.append(Sabotage(name=name, **table | {"tests": tuple(table["tests"])}))
    return found
