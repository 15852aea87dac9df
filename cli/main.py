"""The `boxqueue` command: what each part of it takes, and what its end means to a script."""

import errno
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from cli import terminal
from cli.commands import demo as demo_command
from cli.commands import ingest as ingest_command
from cli.commands import listings
from cli.commands import models as models_command
from cli.commands.up import run_service
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, ServiceUnreachable, StopRequested
from cli.target import JsonOption, UrlOption, service

EXIT_CODES = """Exit codes: 0 fine, 1 some pictures failed or the work could not be done, 2 wrong usage or settings, \
3 the service can't be reached, 130 interrupted."""
# What a full disk says, and a full quota.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


# What an id looks like, in examples.
SOME_ID = "0199c1d2-7c1e-7aa0-8000-0123456789ab"


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n\n".join(["Examples:", *lines])


class Commands(TyperGroup):
    """Turns what a command can't do into its sentence and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            terminal.say(str(error), "red")
            raise typer.Exit(error.exit_code) from None
        except (KeyboardInterrupt, StopRequested):
            terminal.say("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise typer.Exit(SOME_FAILED) from None  # who read the output has enough of it
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            terminal.say(
                f"There is no room left on the disk{f' under {error.filename}' if error.filename else ''}.", "red"
            )
            raise typer.Exit(SOME_FAILED) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Pictures in, boxes out: object-detection models behind a queue.",
    epilog=EXIT_CODES,
)


@app.command(epilog=examples("boxqueue up", "BOXQUEUE_PORT=9000 BOXQUEUE_DATA=/srv/boxes boxqueue up"))
def up() -> None:
    """Run the whole service here, in the foreground: database, Redis, API, and a worker for each installed runtime.

    What dies is started again. Ctrl-C or SIGTERM lets the running claims finish (30 s at most) and stops everything; a
    second one stops at once. Settings are the environment variables BOXQUEUE_*.
    """
    raise typer.Exit(run_service())


@app.command(epilog=examples("boxqueue demo", "boxqueue demo --pictures ~/scans --output boxes"))
def demo(
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Your own pictures. Default: the project's samples.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the drawn boxes go.")] = Path("demo-output"),
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Show detections from this score up. Default: each model's own.")
    ] = None,
) -> None:
    """Show it working: a service of its own on a free port, the samples through every model, a table, drawn boxes.

    Everything it starts is stopped again, and its data is thrown away.
    """
    raise typer.Exit(demo_command.demo(pictures, output, min_score))


@app.command(
    epilog=examples(
        "boxqueue ingest scans --model cards-pytorch --recursive --output results.jsonl",
        f"boxqueue ingest --resume {SOME_ID} --output results.jsonl",
    )
)
def ingest(
    folder: Annotated[Path | None, typer.Argument(metavar="FOLDER", help="The folder with the pictures.")] = None,
    model: Annotated[str | None, typer.Option(help="The model; `boxqueue models` lists them.")] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Folders below it too.")] = False,
    batch: Annotated[str | None, typer.Option(metavar="NAME", help="A name for the batch.")] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each finished job as a line of JSON, when all are there.")
    ] = None,
    priority: Annotated[
        int, typer.Option(min=-100, max=100, help="Higher goes first; the default lets single pictures pass.")
    ] = -10,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out detections below this score.")
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Take stored answers of the same picture and model.")
    ] = True,
    resume: Annotated[str | None, typer.Option(metavar="BATCH", help="Follow this batch to its end instead.")] = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a folder of pictures through a model as one batch, follow it, and tell what came of it.

    Pictures are files named .jpg .jpeg .png .webp .bmp .gif .tif .tiff; what can't be read is named and counted. A lost
    connection is tried again, and no picture is taken twice for it. After Ctrl-C the service goes on with what it has.
    """
    asked = ingest_command.Ingest(
        folder, model, recursive, batch, output, priority, min_score, cache, resume, url, as_json
    )
    raise typer.Exit(ingest_command.ingest(asked))


@app.command(epilog=examples("boxqueue jobs --status failed --limit 100", f"boxqueue jobs {SOME_ID} --json"))
def jobs(
    job_id: Annotated[str | None, typer.Argument(metavar="ID", help="Show this one with its detections.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled ones.")
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this batch.")] = None,
    model: Annotated[str | None, typer.Option(help="Only those of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, or show one."""
    with service(url) as client:
        if job_id:
            listings.show_job(client, job_id, as_json)
        else:
            listings.show_jobs(client, {"status": status, "batch": batch, "model": model}, limit, as_json)


@app.command(epilog=examples(f"boxqueue batches {SOME_ID}", f"boxqueue batches {SOME_ID} --cancel"))
def batches(
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="The batch.")],
    close: Annotated[bool, typer.Option("--close", help="Take no more pictures, so that it can finish.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Drop what has no answer yet.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a batch and its progress; close it or cancel it."""
    with service(url) as client:
        path = f"/v1/batches/{batch_id}"
        if cancel:
            shown = client.post(f"{path}/cancel")
        elif close:
            shown = client.post(f"{path}/close")
        else:
            shown = client.get(path)
    listings.show_batch(shown, as_json)


models = typer.Typer(
    invoke_without_command=True,
    help="List the models that can be asked for; add one to a catalogue, check it, compile it.",
    epilog=examples(
        "boxqueue models",
        "boxqueue models add shop.pth --labels bottle,can,box",
        "boxqueue models check cards-pytorch --picture scan.png",
    ),
)
app.add_typer(models, name="models")


@models.callback()
def models_or_list(context: typer.Context, url: UrlOption = None, as_json: JsonOption = False) -> None:
    if context.invoked_subcommand is None:
        list_models(url, as_json)


@models.command("list", epilog=examples("boxqueue models list --json"))
def list_models(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """List the models of the service, and which of them a worker serves now."""
    with service(url) as client:
        listings.show_models(client, as_json)


@models.command(
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
            "SavedModel (its folder) or frozen graph (.pb); told by what is in it, not by its name.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS",
            help="What the classes are called, in their order: a,b,c; or a file: text with a label a line, a label map "
            "(.pbtxt) or a COCO file (.json). Default: labels.txt, classes.txt or a .pbtxt beside the model, where "
            "the model tells how many it needs.",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What clients ask for. Default: the name of the file.")
    ] = None,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="BUILDER",
            help="For a state dict: the function of torchvision.models.detection that builds the model, where the "
            "weights fit several.",
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="How large pictures come to the model, in pixels, where the file does not say it."
        ),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the entry goes; made if it is not there. Default: BOXQUEUE_CATALOGUE, otherwise catalogue.toml "
            "beside the model.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the entry, and write nothing.")] = False,
) -> None:
    """Look into a model file, and enter it into a catalogue, once it has shown that it runs with that entry.

    What the file does not say is guessed and has a comment, or is asked for. TorchScript and
    AOTInductor packages are programs, and they are run: take none from strangers.
    """
    models_command.add(models_command.Add(file, labels, name, builder, size, catalogue, dry_run))


@models.command("check", epilog=examples("boxqueue models check cards-pytorch --picture scan.png"))
def check_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue.")],
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Look at this picture. Without one: at a blank one.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where it goes with its boxes drawn.")] = Path("checked"),
    as_json: JsonOption = False,
) -> None:
    """Load a model as a worker would, without a service: what it takes and gives, what it finds, what it costs."""
    models_command.check(name, picture, output, as_json)


@models.command("compile", epilog=examples("boxqueue models compile cards-pytorch --portable"))
def compile_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model of the catalogue, an exported program (pt2).")],
    portable: Annotated[
        bool, typer.Option("--portable", help="For any x86 processor with AVX2, not for this one alone.")
    ] = False,
    call: Annotated[
        str | None, typer.Option("--as", metavar="NEW", help="What the new entry is called. Default: NAME-compiled.")
    ] = None,
    runtime: Annotated[
        Literal["pytorch", "libtorch"], typer.Option(help="Whose workers serve it; both run the same package.")
    ] = "pytorch",
) -> None:
    """Compile a PyTorch program to native code with AOTInductor, and enter it into the catalogue beside the other.

    Needs a C++ compiler (g++) here; who runs the package needs none. A package is code: take none from strangers.
    """
    models_command.compile_model(name, portable, call, runtime)


@app.command()
def queues(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show what waits and who works, and in words what is wrong and what to do about it."""
    with service(url) as client:
        listings.show_queues(client, as_json)


@app.command()
def sweep() -> None:
    """Put the jobs of lost workers back and ring for queued ones, now. Workers do so themselves every few seconds."""
    done = subprocess.run([sys.executable, "-P", "-m", "worker.sweep"], check=False)
    raise typer.Exit(done.returncode)


@app.command()
def version(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show the version of this command, and of the service where one answers."""
    running: dict[str, Any] | None = None
    try:
        with service(url) as client:
            running = client.get("/version")
    except ServiceUnreachable:
        pass  # then the version of the command is all there is to tell
    if as_json:
        terminal.print_json({"command": installed_version("boxqueue"), "service": running})
        return
    answers = ", ".join(f"{name} {value}" for name, value in (running or {}).items() if value)
    terminal.output().out(f"boxqueue {installed_version('boxqueue')}\nservice: {answers or 'none answers'}")


def main() -> None:
    """The entry point."""
    app()
