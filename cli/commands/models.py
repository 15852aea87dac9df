"""`boxqueue models check`, `add` and `compile`: try a model, add it to a catalogue, compile it."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.commands import listings
from cli.errors import CommandError, WrongUsage
from cli.target import load_settings
from cli.terminal import output, print_json, say, working
from jobs.settings import Settings

SIZE = re.compile(r"\d+x\d+")


def check(name: str, picture: Path | None, drawn: Path, as_json: bool) -> None:
    """Loads a model in its own process, and shows its detections on the picture and its times."""
    settings = load_settings()
    options = _device_options(settings)
    if picture:
        options += ["--picture", str(picture), "--drawn", str(drawn)]
    with working(f"Loading {name} and running it …"):
        found = _run(
            "detectors.onboarding.check", _resolve_alias(name, settings), settings.catalogue, settings, options
        )
    if as_json:
        print_json(found)
        return
    listings.show_check(found)
    if found["drawn"]:
        say(f"The picture with its boxes is {found['drawn']}.")


def compile_model(name: str, portable: bool, call: str | None, runtime: str) -> None:
    """Compiles an exported program to native code, and adds it to the catalogue as the model `call`."""
    settings = load_settings()
    options = ["--runtime", runtime] + ["--portable"] * portable + (["--as", call] if call else [])
    with working(f"Compiling {name}, which takes a minute or two …"):
        added = _run(
            "detectors.onboarding.compile", _resolve_alias(name, settings), settings.catalogue, settings, options
        )
    say(
        f"{added['model']} is in {added['catalogue']} now, its file is {added['file']}. Try it: "
        f"boxqueue models check {added['model']}"
    )


@dataclass(frozen=True)
class Add:
    """The arguments of `boxqueue models add`; None for an option that is not set."""

    file: Path
    labels: str | None
    name: str | None
    builder: str | None
    size: str | None
    catalogue: Path | None
    dry_run: bool


def add(arguments: Add) -> None:
    """Adds a model file to a catalogue, and prints the entry."""
    settings = load_settings()
    if arguments.size and not SIZE.fullmatch(arguments.size):
        raise WrongUsage(f"--size must be a width and a height in pixels, such as 640x480, not {arguments.size}.")
    target = arguments.catalogue or _default_catalogue(arguments.file, settings)
    # The catalogues of the settings count as one: the name must not exist in any of them.
    others = [path for path in settings.catalogue if path != target] if target in settings.catalogue else []
    options = [
        f"--{name}={value}"
        for name in ("labels", "name", "builder", "size")
        if (value := getattr(arguments, name)) is not None
    ]
    options += _device_options(settings) + ["--dry-run"] * arguments.dry_run
    with working(f"Examining {arguments.file} and running it …"):
        added = _run("detectors.onboarding.add", str(arguments.file), [target, *others], settings, options)
    output().out(added["entry"].rstrip("\n"))
    if arguments.dry_run:
        say(f"Without --dry-run, this would be added to {target}.")
        return
    where = "" if target in settings.catalogue else f"BOXQUEUE_CATALOGUE={shlex.quote(str(target))} "
    say(f"{added['model']} is in {target} now. Try it: {where}boxqueue models check {added['model']} --picture PICTURE")


def _default_catalogue(file: Path, settings: Settings) -> Path:
    """The catalogue for a new entry without --catalogue: the one in BOXQUEUE_CATALOGUE, otherwise one beside the model.
    Never the bundled catalogue, which belongs to the program. Raises `WrongUsage`."""
    if "catalogue" in settings.model_fields_set:
        if len(settings.catalogue) > 1:
            raise WrongUsage("BOXQUEUE_CATALOGUE names several catalogues. Choose one with --catalogue FILE.")
        return settings.catalogue[0]
    beside = file.parent / "catalogue.toml"
    if beside.absolute() in settings.catalogue:
        raise WrongUsage(f"{beside} is the bundled catalogue. Name it, or another one, with --catalogue FILE.")
    return beside


def _resolve_alias(name: str, settings: Settings) -> str:
    return settings.model_aliases.get(name, name)


def _device_options(settings: Settings) -> list[str]:
    threads = ["--threads", str(settings.threads)] if isinstance(settings.threads, int) else []
    return ["--device", settings.device, *threads]


def _run(
    module: str, subject: str, catalogues: Sequence[Path], settings: Settings, options: list[str]
) -> dict[str, Any]:
    """The JSON that a module prints in its own process. Raises `CommandError` with the last line of its stderr."""
    where = [part for path in catalogues for part in ("--catalogue", str(path))]
    command = [sys.executable, "-P", "-m", module, subject, *where, "--cache", str(settings.data / "models"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise CommandError(f"The process that ran {subject} crashed with {signal.Signals(-done.returncode).name}.")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"The process ended with exit code {done.returncode}."]
        raise CommandError(lines[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
