"""`sightline`: every command in one place; errors end in one line and an exit code.

Exit codes: 0 done, 1 something failed, 2 refused to start (settings, index, broker: what to do is
in the line), 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from sightline.engine.errors import Part, PartUnavailable, RefusedToStart, SightlineError
from sightline.infra.cli import (
    backfill,
    evaluate,
    experiment,
    interactions,
    judgements,
    label_stages,
    labels,
    models,
    moderate,
    operate,
    reindex,
    rollout,
    run,
    trace,
    train,
    train_backbone,
    tune,
    upload,
)
from sightline.producers.backfill.names import printable

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
PACKAGE = "sightline-search"

app = typer.Typer(
    name="sightline",
    help="Event-driven visual search: always fresh, private by default.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # its tables give flags a value, `<bool>`
)
for commands in (
    run.app,
    label_stages.app,
    labels.app,
    train.app,
    train_backbone.app,
    tune.app,
    models.app,
    evaluate.app,
    rollout.app,
    experiment.app,
    upload.app,
    backfill.app,
    reindex.app,
    moderate.app,
    operate.app,
    trace.app,
    interactions.app,
    judgements.app,
):
    app.registered_commands += commands.registered_commands
    app.registered_groups += commands.registered_groups


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - typer's form of a callback
    if wanted:
        typer.echo(f"sightline {version(PACKAGE)}")
        raise typer.Exit


@app.callback()
def sightline(
    *,
    _: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_tell_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Event-driven visual search: always fresh, private by default."""


def main() -> None:
    """Run the command named on the command line and exit."""
    # For whoever typed the command; what runs on as a service logs JSON instead.
    logging.basicConfig(level=logging.WARNING, format="sightline: %(message)s")
    _print_anything()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (SightlineError, OSError, UnicodeEncodeError) as error:
        if isinstance(error, OSError) and error.errno is None:
            raise  # a fault of ours, and not a file's
        typer.echo(f"sightline: {_said(error)}", err=True)
        sys.exit(REFUSED if isinstance(error, RefusedToStart) else FAILED)


def _print_anything() -> None:
    """File names may be any bytes, and a terminal may know no arrow."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _said(error: SightlineError | OSError | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeEncodeError):
        return f"{printable(error.object[:80])} is no text in UTF-8"
    if isinstance(error, OSError):
        place = "" if error.filename is None else f"{printable(str(error.filename))}: "
        return f"{place}{error.strerror}"
    away = isinstance(error, PartUnavailable) and error.part is not Part.EMBEDDER
    return f"{error} (`sightline doctor` tells what is wrong)" if away else str(error)
