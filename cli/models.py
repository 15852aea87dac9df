"""`boxqueue models`: what can be asked for, and what a model of your own does before anybody asks for it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from cli import listings
from cli.errors import CommandError
from cli.target import load_settings
from cli.terminal import print_json, say, working
from jobs.settings import Settings


def check(name: str, picture: Path | None, drawn: Path, as_json: bool) -> None:
    """Loads a model in a process of its own, and shows what it found on the picture and what it costs."""
    settings = load_settings()
    asked = ["--device", settings.device]
    if isinstance(settings.threads, int):
        asked += ["--threads", str(settings.threads)]
    if picture:
        asked += ["--picture", str(picture), "--drawn", str(drawn)]
    with working(f"Loading {name} and running it …"):
        found = _run("detectors.check", name, settings, asked)
    if as_json:
        print_json(found)
        return
    listings.show_check(found)
    if found["drawn"]:
        say(f"The picture with its boxes is {found['drawn']}.")


def compile_model(name: str, portable: bool, call: str | None) -> None:
    """Compiles an exported program to native code and enters it into the catalogue."""
    asked = ["--portable"] * portable + (["--as", call] if call else [])
    with working(f"Compiling {name}, a minute or two …"):
        made = _run("detectors.compile", name, load_settings(), asked)
    say(
        f"{made['model']} is in {made['catalogue']} now, its file is {made['file']}. Try it: "
        f"boxqueue models check {made['model']}"
    )


def _run(module: str, name: str, settings: Settings, asked: list[str]) -> dict[str, Any]:
    """What such a process answers. Raises `CommandError` with the sentence that it ends with."""
    name = settings.model_aliases.get(name, name)
    where = [part for path in settings.catalogue for part in ("--catalogue", str(path))]
    command = [sys.executable, "-P", "-m", module, name, *where, "--cache", str(settings.data / "models"), *asked]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise CommandError(f"The process that ran {name} died of {signal.Signals(-done.returncode).name}.")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
        raise CommandError(said[-1])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
