"""`boxqueue models` and its commands. `cli.commands.models` does their work."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands import listings
from cli.commands import models as work
from cli.options import JsonOption, UrlOption, examples
from cli.target import service

app = typer.Typer(
    invoke_without_command=True,
    help="List the models that clients can name; add a model to a catalogue, check it, compile it.",
    epilog=examples(
        "boxqueue models",
        "boxqueue models add shop.pth --labels bottle,can,box",
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
        listings.show_models(client, as_json)


@app.command(
    "add",
    epilog=examples(
        "boxqueue models add shop.pth --labels bottle,can,box",
        "boxqueue models add forms.pt --size 512x512 --labels forms.txt --catalogue models.toml",
    ),
)
def add_model(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Exported program or AOTInductor package (.pt2), TorchScript, state dict of a torchvision detector, "
            "SavedModel (its folder) or frozen graph (.pb). The content decides which it is, not the name.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="The names of the classes, in their order: a,b,c; or a file: text with a label a line, a label map "
            "(.pbtxt) or a COCO file (.json). Default: labels.txt, classes.txt or a .pbtxt beside the model, if the "
            "model's file says how many labels it needs.",
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the entry, and write nothing.")] = False,
) -> None:
    """Inspect a model file, run it, and add its entry to a catalogue if it runs with that entry.

    The command guesses what the file does not say, and comments on the guess in the entry; or it asks for an option.
    TorchScript and AOTInductor packages are programs, and this runs them: add none from people you do not trust.
    """
    work.add(work.Add(file, labels, name, builder, size, catalogue, dry_run))


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
    work.check(name, picture, output, as_json)


@app.command("compile", epilog=examples("boxqueue models compile cards-pytorch --portable"))
def compile_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue, an exported program (pt2).")],
    portable: Annotated[
        bool, typer.Option("--portable", help="For any x86 processor with AVX2, not for this one alone.")
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
    work.compile_model(name, portable, call, runtime)
