"""The command that fills a new generation of the index: `sightline reindex`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sightline.engine.errors import SettingsInvalid, SightlineError
from sightline.engine.settings import load_settings
from sightline.infra.cli.model_options import RateOption, ReferenceArgument
from sightline.infra.cli.rollout import switch as switch_to
from sightline.infra.cli.stopping import stop_on_signals

app = typer.Typer()


class ByOption(StrEnum):
    """Says what a new generation is filled from: kept features or pictures."""

    FEATURES = "features"
    BYTES = "bytes"


@app.command()
def reindex(
    model: ReferenceArgument,
    *,
    by: Annotated[
        ByOption | None,
        typer.Option(
            help="Multiply the features that are kept of each picture, or read all pictures again; "
            "by default features where they serve."
        ),
    ] = None,
    rate: RateOption = None,
    wait: Annotated[
        bool, typer.Option(help="Show how far it is until it may serve, or only ask for it.")
    ] = True,
    without_missing: Annotated[
        bool,
        typer.Option(
            "--without-missing",
            help="Let it serve although images are not in it whose bytes are gone.",
        ),
    ] = False,
    switch: Annotated[
        bool, typer.Option("--switch", help="Let it serve as soon as it may.")
    ] = False,
) -> None:
    """Fill a new generation beside the one that serves.

    Live events flow to it meanwhile. It may serve once every image was compared with the
    generation that does; what differs is listed. Ended with Ctrl-C the command stops looking, and
    the work goes on; called again it shows how far that is.
    """
    from sightline.infra.commands.opened_store import opened_store  # noqa: PLC0415 - heavy
    from sightline.infra.commands.reindex import ReindexCommands, Wish  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.reindex_lines import draw_progress, parity_lines  # noqa: PLC0415 - heavy

    if switch and not wait:
        raise SettingsInvalid("--switch waits until the generation may serve: leave --no-wait out")
    settings = load_settings()
    wish = Wish(
        model=model,
        by=None if by is None else by.value,
        rate_per_s=rate,
        without_missing=without_missing,
    )
    with opened_store(settings) as store:
        commands = ReindexCommands(settings, store)
        asked = commands.ask(wish)
        typer.echo(f"generation {asked.generation}, filled by {asked.by} of {asked.seeded_from}")
        if asked.rate_per_s is not None:
            typer.echo(f"at most {asked.rate_per_s:g} images a second")
        if not wait:
            return
        last = draw_progress(commands.watch(asked.generation, stop_on_signals()))
    if last is None or last.parity is None:
        typer.echo("the work goes on; the same command shows how far it is")
        return
    for line in parity_lines(last.parity):
        typer.echo(line)
    if last.refused:
        raise SightlineError(
            f"generation {asked.generation} differs from what serves and may not serve: mend what "
            "is listed (`sightline reconcile`), and ask for it again"
        )
    typer.echo(f"generation {asked.generation} is ready")
    if switch:
        switch_to(asked.generation, reason=f"re-indexed by {asked.by}")
    else:
        typer.echo(f"`sightline switch {asked.generation}` lets it serve")
