"""Commands that look and mend: `doctor`, `status`, `topics`, `reconcile`, `dlq`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC
from typing import Annotated

import typer

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log, open_event_producer
from sightline.engine.errors import NotFound, SightlineError
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import Mode, load_settings
from sightline.infra.cli.plain_console import plain_console
from sightline.schemas.models import readable
from sightline.schemas.topics import TOPICS
from sightline.stream_workers.delivery.dead_letter_replay import (
    DeadLetter,
    Replayed,
    Wanted,
    dead_letters,
    replay,
)

app = typer.Typer()
dlq = typer.Typer(no_args_is_help=True, help="List, show and replay messages that failed.")
app.add_typer(dlq, name="dlq")

_SHOWN_BYTES = 4_000
_PIPED_COLUMNS = 10_000
"""What is no terminal gets one line for each letter, whole."""


@app.command()
def doctor() -> None:
    """Check every part, and say how to mend what does not work."""
    from sightline.infra.doctor.report import report_findings  # noqa: PLC0415 - heavy

    if not report_findings(load_settings()):
        raise SightlineError("not everything is well")


@app.command()
def status() -> None:
    """Show how many events wait where. Tells for how long, and counts dead letters."""
    from sightline.infra.commands.experiments.running import (  # noqa: PLC0415 - heavy
        experiment_line,
    )
    from sightline.infra.reporting.filling_lines import filling_lines  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.retraining_lines import retraining_lines  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.rollout_lines import rollout_lines  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.status import read_status  # noqa: PLC0415 - heavy
    from sightline.infra.reporting.status_table import (  # noqa: PLC0415 - heavy
        generation_of,
        recorded_generations,
        retraction_of,
        status_table,
    )

    settings, clock = load_settings(), SystemClock()
    known = recorded_generations(settings)
    found = read_status(settings, open_event_log(settings), clock=clock, generations=known)
    console = plain_console()
    console.print(status_table(found))
    console.print(f"generation: {generation_of(settings)}")
    console.print(f"last retraction: {retraction_of(settings, clock.now())}")
    console.print(f"experiment: {experiment_line(settings)}")
    for line in retraining_lines(settings):
        console.print(f"retraining: {line}")
    for line in filling_lines(settings, known, clock.now()):
        console.print(f"re-index: {line}")
    for line in rollout_lines(settings):
        console.print(f"roll-out: {line}")
    for topic, letters in found.dead_letters.items():
        causes = ", ".join(f"{count} {error}" for error, count in letters.latest.items())
        console.print(
            f"dead letters: {letters.messages} in {topic}, lately {causes} (`sightline dlq list`)"
        )


@app.command()
def topics(
    *,
    create: Annotated[
        bool, typer.Option("--create", help="Create the topics that are missing.")
    ] = False,
) -> None:
    """Compare the broker's topics with the contracts. Exit code 1 if any differs."""
    settings = load_settings()
    if settings.mode is Mode.EMBEDDED:
        typer.echo("embedded: the broker's topics are made with it")
        return
    known = KafkaTopics(settings.kafka)
    for name in known.ensure(TOPICS) if create else ():
        typer.echo(f"created {name}")
    drift = known.drift(TOPICS)
    for sentence in drift:
        typer.echo(sentence)
    if drift:
        raise SightlineError(f"{len(drift)} differences between broker and contracts")
    typer.echo(f"{len(TOPICS)} topics are as the contracts say")


@app.command()
def reconcile(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only list the differences.")] = False,
) -> None:
    """Compare catalogue and index, and mend every difference."""
    from sightline.infra.commands.reconcile import reconcile_anywhere  # noqa: PLC0415 - heavy

    report = reconcile_anywhere(load_settings(), repair=not check)
    typer.echo(f"{report.catalogued} images in the catalogue, {report.indexed} in the index")
    for difference in report.differences:
        typer.echo(
            f"{difference.kind:>12} {difference.image_id} "
            f"catalogue {difference.catalogued} index {difference.indexed}"
        )
    if not report.differences:
        typer.echo("no differences")
    elif check:
        raise SightlineError(f"{len(report.differences)} differences")
    else:
        typer.echo(f"{report.mendable} differences, each published or purged")
        if unreadable := len(report.differences) - report.mendable:
            typer.echo(f"{unreadable} cannot be read: an admin may delete them")


TopicOption = Annotated[
    str | None, typer.Option(metavar="TOPIC", help="Only messages that came from TOPIC.")
]
ErrorOption = Annotated[
    str | None, typer.Option(metavar="KIND", help="Only errors of KIND, such as ContractError.")
]
PlacesArgument = Annotated[
    list[str] | None, typer.Argument(help="Messages, as `topic/partition/offset`; none: all.")
]


@dlq.command("list")
def list_letters(topic: TopicOption = None, error: ErrorOption = None) -> None:
    """List dead letters, and count them by error. Times are in UTC."""
    letters = _letters(Wanted(topic=topic, error=error))
    if letters:
        _show(letters)
    for kind, count in Counter(letter.facts.error for letter in letters).most_common():
        typer.echo(f"{count} {kind}")
    if not letters:
        typer.echo("no dead letters")


def _show(letters: Sequence[DeadLetter]) -> None:
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table()
    for name in ("place", "when", "stage", "error", "message"):
        table.add_column(name, no_wrap=name == "when", overflow="fold")
    for letter in letters:
        facts = letter.facts
        when = f"{letter.appended.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        table.add_row(letter.place, when, facts.stage, facts.error, facts.message)
    plain_console(None if sys.stdout.isatty() else _PIPED_COLUMNS).print(table)


@dlq.command("show")
def show_letter(
    place: Annotated[str, typer.Argument(help="The message, as `topic/partition/offset`.")],
) -> None:
    """Show one dead letter: its error and the original bytes."""
    letters = _letters(Wanted(places=frozenset({place})))
    if not letters:
        raise NotFound(f"no dead letter of {place}; `sightline dlq list` shows what there is")
    for name, value in letters[0].facts.model_dump().items():
        typer.echo(f"{name:>10}: {value}")
    typer.echo(f"{'key':>10}: {readable(letters[0].key)}")
    value = (letters[0].value or b"")[:_SHOWN_BYTES].decode(errors="replace")
    for line in value.splitlines():
        typer.echo(readable(line))


@dlq.command("replay")
def replay_letters(
    places: PlacesArgument = None, topic: TopicOption = None, error: ErrorOption = None
) -> None:
    """Publish dead-lettered messages again. Those that fail again come back."""
    letters = _letters(Wanted(topic=topic, error=error, places=frozenset(places or ())))
    if places and len(letters) < len(set(places)):
        raise NotFound(f"{len(letters)} of {len(set(places))} found: `sightline dlq list`")
    with closing(open_event_producer(load_settings())) as producer:
        replay(letters, producer, done=_told)
    typer.echo(f"{len(letters)} replayed")


def _letters(wanted: Wanted) -> list[DeadLetter]:
    names = [topic.name for topic in TOPICS if topic.dead_letters_of is not None]
    return list(dead_letters(open_event_log(load_settings()).read(names), wanted))


def _told(one: Replayed) -> None:
    typer.echo(f"{one.letter.place} → {one.topic}/{one.partition}/{one.offset}")
