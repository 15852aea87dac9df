"""`boxqueue models`: what can be asked for, and what a model of your own does before anybody asks for it."""

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
    """Loads a model in a process of its own, and shows what it found on the picture and what it costs."""
    settings = load_settings()
    asked = _device(settings)
    if picture:
        asked += ["--picture", str(picture), "--drawn", str(drawn)]
    with working(f"Loading {name} and running it …"):
        found = _run("detectors.onboarding.check", _model(name, settings), settings.catalogue, settings, asked)
    if as_json:
        print_json(found)
        return
    listings.show_check(found)
    if found["drawn"]:
        say(f"The picture with its boxes is {found['drawn']}.")


def compile_model(name: str, portable: bool, call: str | None, runtime: str) -> None:
    """Compiles an exported program to native code and enters it into the catalogue."""
    settings = load_settings()
    asked = ["--runtime", runtime] + ["--portable"] * portable + (["--as", call] if call else [])
    with working(f"Compiling {name}, a minute or two …"):
        made = _run("detectors.onboarding.compile", _model(name, settings), settings.catalogue, settings, asked)
    say(
        f"{made['model']} is in {made['catalogue']} now, its file is {made['file']}. Try it: "
        f"boxqueue models check {made['model']}"
    )


@dataclass(frozen=True)
class Add:
    """What `boxqueue models add` was asked for; an option that was not given is None."""

    file: Path
    labels: str | None
    name: str | None
    builder: str | None
    size: str | None
    catalogue: Path | None
    dry_run: bool


def add(asked: Add) -> None:
    """Enters a model file into a catalogue, and prints the entry."""
    settings = load_settings()
    if asked.size and not SIZE.fullmatch(asked.size):
        raise WrongUsage(f"--size is a width and a height in pixels, such as 640x480, not {asked.size}.")
    target = asked.catalogue or _catalogue_for(asked.file, settings)
    # A catalogue of the settings counts as one with the others: no name may be there twice.
    others = [path for path in settings.catalogue if path != target] if target in settings.catalogue else []
    options = {"labels": asked.labels, "name": asked.name, "builder": asked.builder, "size": asked.size}
    given = [f"--{name}={value}" for name, value in options.items() if value is not None]
    given += _device(settings) + ["--dry-run"] * asked.dry_run
    with working(f"Looking into {asked.file} and running it …"):
        made = _run("detectors.onboarding.add", str(asked.file), [target, *others], settings, given)
    output().out(made["entry"].rstrip("\n"))
    if asked.dry_run:
        say(f"Without --dry-run, this would be added to {target}.")
        return
    where = "" if target in settings.catalogue else f"BOXQUEUE_CATALOGUE={shlex.quote(str(target))} "
    say(f"{made['model']} is in {target} now. Try it: {where}boxqueue models check {made['model']} --picture PICTURE")


def _catalogue_for(file: Path, settings: Settings) -> Path:
    """Where an entry goes if nobody says it: into the catalogue that was set, otherwise into one beside the model,
    as the bundled one belongs to the program. Raises `WrongUsage`."""
    if "catalogue" in settings.model_fields_set:
        if len(settings.catalogue) > 1:
            raise WrongUsage("BOXQUEUE_CATALOGUE names several; --catalogue FILE says which one gets the entry.")
        return settings.catalogue[0]
    beside = file.parent / "catalogue.toml"
    if beside.absolute() in settings.catalogue:
        raise WrongUsage(f"{beside} is the bundled catalogue; --catalogue FILE says that it is meant, or another one.")
    return beside


def _model(name: str, settings: Settings) -> str:
    return settings.model_aliases.get(name, name)


def _device(settings: Settings) -> list[str]:
    threads = ["--threads", str(settings.threads)] if isinstance(settings.threads, int) else []
    return ["--device", settings.device, *threads]


def _run(module: str, subject: str, catalogues: Sequence[Path], settings: Settings, asked: list[str]) -> dict[str, Any]:
    """What such a process answers. Raises `CommandError` with the sentence that it ends with."""
    where = [part for path in catalogues for part in ("--catalogue", str(path))]
    command = [sys.executable, "-P", "-m", module, subject, *where, "--cache", str(settings.data / "models"), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise CommandError(f"The process that ran {subject} died of {signal.Signals(-done.returncode).name}.")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CommandError(said[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
