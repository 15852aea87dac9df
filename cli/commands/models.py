"""`boxqueue models` and its commands: list the models, add one to a catalogue, check it, compile it."""

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli import terminal
from cli.commands.model_facts import few_labels, show_check
from cli.errors import CommandError, WrongUsage
from cli.options import JsonOption, UrlOption, examples, load_settings, service
from cli.terminal import say, working
from jobs.settings import Settings

SIZE = re.compile(r"\d+x\d+")
app = typer.Typer(
    invoke_without_command=True,
    help="List the models that clients can name; add a model to a catalogue, check it, compile it.",
    epilog=examples(
        "boxqueue models",
        "boxqueue models add best.onnx",
        "boxqueue models check cards-pytorch --picture scan.png",
    ),
)


@app.callback()
def models_or_list(context: typer.Context, url: UrlOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_models(url, as_json)


@app.command("list", epilog=examples("boxqueue models list --json"))
def list_models(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the models of the service, and which of them a worker serves now."""
    with service(url) as client:
        models = client.get("/v1/models")["models"]
    if as_json:
        terminal.print_json(models)
        return
    rows = []
    for model in models:
        aliases, labels = ", ".join(model["aliases"]), few_labels(model["labels"])
        available = "yes" if model["available"] else "no"
        rows.append((model["name"], aliases, model["runtime"], model["format"], available, model["licence"], labels))
    terminal.print_table(["model", "aliases", "runtime", "format", "available", "licence", "labels"], rows)


@app.command(
    "add",
    epilog=examples(
        "boxqueue models add best.onnx",
        "boxqueue models add best.torchscript --name parts --replace",
        "boxqueue models add shop.pth --labels bottle,can,box",
        "boxqueue models add exported/saved_model --labels label_map.pbtxt",
        "boxqueue models add forms.pt --size 512x512 --labels forms.txt --catalogue models.toml",
    ),
)
def add_model(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="ONNX model, TorchScript, exported program or AOTInductor package (.pt2), weights of a torchvision "
            "detector (a state dict, a checkpoint or safetensors), SavedModel (its folder) or frozen graph (.pb). The "
            "content decides which it is, not the name.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="The names of the classes, in their order: a,b,c; or a file: text with a label a line, a data.yaml, "
            "a label map (.pbtxt), a COCO file or a config.json of Hugging Face. Default: the names in the model's "
            "own file; otherwise labels.txt, classes.txt, a .names, a .pbtxt or data.yaml beside it, if the file "
            "says how many labels it needs.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name for clients. Default: the name of the file.")
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="BUILDER",
            help="For a state dict: the function of torchvision.models.detection that builds the model, if the "
            "weights fit several.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Width and height of the model's input in pixels, if the file does not say them."
        ),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The catalogue that gets the entry; created if it is missing. Default: BOXQUEUE_CATALOGUE, otherwise "
            "catalogue.toml beside the model.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Let the new entry take the place of one of the same name in that catalogue. What you changed in the "
            "old entry by hand is lost. If the new model can't be added, the old entry stays.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the entry, and write nothing.")] = False,
) -> None:
    """Inspect a model file, run it, and add its entry to a catalogue if it runs with that entry.

    The command guesses what the file does not say, and comments on the guess in the entry; or it asks for an option.

    A file that only its own framework can read, such as best.pt of Ultralytics, has to be exported first:
    yolo export model=best.pt format=onnx.

    TorchScript and AOTInductor packages are programs, and this runs them: add none from people you do not trust.
    """
    settings = load_settings()
    if size and not SIZE.fullmatch(size):
        raise WrongUsage(f"--size must be a width and a height in pixels, such as 640x480, not {size}.")
    target = catalogue or _default_catalogue(file, settings)
    # The catalogues of the settings count as one: the name must not exist in any of them.
    others = [path for path in settings.catalogue if path != target] if target in settings.catalogue else []
    chosen = {"labels": labels, "name": name, "builder": builder, "size": size}
    options = [f"--{option}={value}" for option, value in chosen.items() if value is not None]
    options += _device_options(settings) + ["--replace"] * replace + ["--dry-run"] * dry_run
    with working(f"Examining {file} and running it …"):
        added = _run("add", str(file), [target, *others], settings, options)
    terminal.output().out(added["entry"].rstrip("\n"))
    for note in added["notes"]:
        say(note)
    if dry_run:
        say(f"Without --dry-run, this would be added to {target}.")
        return
    where = "" if target in settings.catalogue else f"BOXQUEUE_CATALOGUE={shlex.quote(str(target))} "
    say(f"{added['model']} is in {target} now. Try it: {where}boxqueue models check {added['model']} --picture PICTURE")


@app.command("check", epilog=examples("boxqueue models check cards-pytorch --picture scan.png"))
def check_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run the model on this picture. Default: a blank one.")
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Where to write the picture with its boxes drawn.")
    ] = Path("checked"),
    as_json: JsonOption = False,
) -> None:
    """Load a model as a worker does, without a service: show its inputs, outputs, detections and times."""
    settings = load_settings()
    options = _device_options(settings)
    if picture:
        options += ["--picture", str(picture), "--drawn", str(output)]
    with working(f"Loading {name} and running it …"):
        found = _run("check", settings.model_aliases.get(name, name), settings.catalogue, settings, options)
    if as_json:
        terminal.print_json(found)
        return
    show_check(found)
    if found["drawn"]:
        say(f"The picture with its boxes is {found['drawn']}.")


@app.command("compile", epilog=examples("boxqueue models compile cards-pytorch --portable"))
def compile_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue, an exported program (pt2).")],
    portable: Annotated[
        bool, typer.Option("--portable", help="For any x86 processor with AVX2, and not only for this one.")
    ] = False,
    call: Annotated[
        str | None, typer.Option("--as", metavar="NEW", help="The name of the new entry. Default: NAME-compiled.")
    ] = None,
    runtime: Annotated[
        Literal["pytorch", "libtorch"], typer.Option(help="The runtime that serves it; both run the same package.")
    ] = "pytorch",
) -> None:
    """Compile a PyTorch program to native code with AOTInductor, and add it to the catalogue beside the original.

    Needs a C++ compiler (g++) here; a machine that only runs the package needs none. A package is code: run none from
    people you do not trust.
    """
    settings = load_settings()
    options = ["--runtime", runtime] + ["--portable"] * portable + (["--as", call] if call else [])
    with working(f"Compiling {name}, which takes a minute or two …"):
        added = _run("compile", settings.model_aliases.get(name, name), settings.catalogue, settings, options)
    say(
        f"{added['model']} is in {added['catalogue']} now, its file is {added['file']}. Try it: "
        f"boxqueue models check {added['model']}"
    )


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


def _device_options(settings: Settings) -> list[str]:
    threads = ["--threads", str(settings.threads)] if isinstance(settings.threads, int) else []
    return ["--device", settings.device, *threads]


def _run(
    command: str, subject: str, catalogues: Sequence[Path], settings: Settings, options: list[str]
) -> dict[str, Any]:
    """The JSON that a module of `detectors.onboarding` prints in its own process. Raises `CommandError` with the last
    line of its stderr."""
    where = [part for path in catalogues for part in ("--catalogue", str(path))]
    module = [sys.executable, "-P", "-m", f"detectors.onboarding.{command}"]
    cache = ["--cache", str(settings.data / "models")]
    done = subprocess.run([*module, subject, *where, *cache, *options], capture_output=True, text=True, check=False)
    if done.returncode < 0:
        raise CommandError(f"The process that ran {subject} crashed with {signal.Signals(-done.returncode).name}.")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"The process ended with exit code {done.returncode}."]
        raise CommandError(lines[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
