"""Sabotages, as the `*.toml` files beside this one have them."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Sabotage:
    """A fault, made by one edit of one file."""

    name: str
    breaks: str
    """The promise that does not hold any more, in a sentence."""
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    """Ids of pytest: at least one of them has to fail."""

    def make(self, tree: Path) -> None:
        """Makes the fault in a copy of the tree. Raises `ValueError` where it can't be made any more."""
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        number = text.count(self.old)
        if number != 1:
            raise ValueError(
                f"The `old` text of the sabotage {self.name} occurs {number} times in {self.file}, and not once. The "
                "code has changed: give the sabotage the text of now, with more of the lines around it where it occurs "
                "several times. Where the fault can't be made any more, because there is no such promise now, take the "
                f"sabotage away. It says: {self.breaks}\n{self.old}"
            )
        sabotaged = text.replace(self.old, self.new)
        if path.suffix == ".py":
            # Python that can't be read fails every test, so it would prove nothing.
            compile(sabotaged, self.file, "exec")
        path.write_text(sabotaged, encoding="utf-8")


def sabotages() -> list[Sabotage]:
    """All of them."""
    found = []
    for path in sorted(FOLDER.glob("*.toml")):
        for name, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found.append(Sabotage(name=name, **table | {"tests": tuple(table["tests"])}))
    return found
