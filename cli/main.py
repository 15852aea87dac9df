"""The `boxqueue` command: its groups of commands, and how it reports errors."""

import errno
from typing import Any

import typer
from typer.core import TyperGroup

from cli import terminal
from cli.commands import demo, ingest, listings, models, up
from cli.errors import INTERRUPTED, SOME_FAILED, CommandError, StopRequested

EXIT_CODES = """Exit codes: 0 fine, 1 some pictures failed or the work could not be done, 2 wrong usage or settings, \
3 the service can't be reached, 130 interrupted."""
# The disk, or the user's quota on it, is full.
DISK_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT)


class Commands(TyperGroup):
    """Turns the error of a command into its sentence and its exit code."""

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
            raise typer.Exit(SOME_FAILED) from None  # the reader of the output has closed it
        except OSError as error:
            if error.errno not in DISK_FULL_ERRORS:
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
for group in (up.app, demo.app, ingest.app, listings.app):
    app.add_typer(group)
app.add_typer(models.app, name="models")


def main() -> None:
    """The entry point."""
    app()
