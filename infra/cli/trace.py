"""`sightline trace`: one upload, search, click and triple, with the time of each hop."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from sightline.engine.connecting.connections import open_event_log, running_owner
from sightline.engine.errors import SightlineError
from sightline.engine.settings import load_settings
from sightline.infra.cli.plain_console import plain_console
from sightline.producers.connect import signing_ids

app = typer.Typer()

MARGIN = timedelta(hours=1)
"""Between the clocks of API and broker; Kafka takes no record further ahead."""


@app.command()
def trace(
    search_id: Annotated[
        str | None, typer.Argument(help="The id of an earlier search; none: upload and search now.")
    ] = None,
    *,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address of the API; none: the one running here."),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="SIGHTLINE_TRACE_KEY",
            metavar="KEY",
            help="API key with scopes search and write.",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the uploaded picture.")] = False,
) -> None:
    """Time the way from an upload to its triple. With an id, times an earlier search."""
    from sightline.infra.reporting.trace import Traveller, wait_for_triple  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.trace_hops import (  # noqa: PLC0415 - heavy
        hops,
        is_whole,
        trace_table,
        unknown,
    )

    settings, console = load_settings(), plain_console()
    log = open_event_log(settings)
    if search_id is not None:
        issued = signing_ids(settings).opened(search_id)
        since = None if issued is None else issued.issued_at - MARGIN
        known = hops(log, search_id, issued=issued, since=since)
        console.print(trace_table(known))
        missing = unknown(known)
        if missing is not None:
            console.print(missing)
        return
    with Traveller(url or running_owner(settings).url, api_key=api_key) as traveller:
        journey = traveller.travel(settings.labels)
        try:
            console.print(f"search {journey.search_id}", soft_wrap=True)
            console.print(f"its epoch closes at {journey.closes:%H:%M:%S} UTC; Ctrl-C, and")
            console.print("`sightline trace` with that id shows later what came of it")
            since = journey.began - timedelta(minutes=1)
            found = wait_for_triple(log, journey, since=since)
        finally:
            if not keep:
                traveller.forget(journey.image_id)
    console.print(trace_table(found))
    if not is_whole(found):
        raise SightlineError("no triple came: `sightline status`, `sightline triples why`")
