"""`sightline trace`: one upload, search, click and triple, with the time of each hop."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from sightline.engine.connections import reachable_kafka, running_owner
from sightline.engine.errors import SightlineError
from sightline.engine.settings import Mode, load_settings

app = typer.Typer()


@app.command()
def trace(
    search_id: Annotated[
        str | None, typer.Argument(help="Of an earlier search; none: make a journey now.")
    ] = None,
    *,
    url: Annotated[str | None, typer.Option(help="The API; none: the one that runs here.")] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="SIGHTLINE_TRACE_KEY", help="Scopes search and write.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Do not delete the picture.")] = False,
) -> None:
    """Follow one upload to its search, its click and its triple; tell the time of each hop."""
    from sightline.infra.trace import (  # noqa: PLC0415 - heavy
        TRIPLE,
        Traveller,
        hops,
        wait_for_triple,
    )
    from sightline.infra.trace_table import table  # noqa: PLC0415 - heavy

    settings, console = load_settings(), Console()
    kafka = reachable_kafka(settings)
    if search_id is not None:
        console.print(table(hops(kafka, search_id)))
        return
    with Traveller(url or running_owner(settings).url, api_key=api_key) as traveller:
        journey = traveller.travel(settings.labels)
        try:
            console.print(f"search {journey.search_id}", soft_wrap=True)
            console.print(f"its epoch closes at {journey.closes:%H:%M:%S} UTC; Ctrl-C, and")
            console.print("`sightline trace` with that id shows later what came of it")
            # The in-process broker cannot look up times, and holds little.
            since = journey.began if settings.mode is Mode.SERVICES else None
            found = wait_for_triple(kafka, journey, since=since and since - timedelta(minutes=1))
        finally:
            if not keep:
                traveller.forget(journey.image_id)
    console.print(table(found))
    if found[-1].name != TRIPLE:
        raise SightlineError("no triple came: `sightline status`, `sightline triples why`")
