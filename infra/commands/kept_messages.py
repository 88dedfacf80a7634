"""Settings in, what topics hold out; embedded also what the log forgot, while nothing runs too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sightline.engine.connecting.connections import open_event_log
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, as_messages, winners_in
from sightline.engine.label_data.judgements import Grade, judgements_of
from sightline.engine.records import Message
from sightline.engine.settings import Mode, Settings
from sightline.schemas.topics import JUDGEMENTS


def read_judgements(settings: Settings) -> tuple[Grade, ...]:
    """Reads whatever people judged, and erasures of judges. Raises `PartUnavailable`."""
    kept: dict[str, Grade] = {}
    for judgement in judgements_of(kept_messages(settings, (JUDGEMENTS.name,))):
        # Said again, it came when it was said first.
        kept.setdefault(judgement.event_id, judgement)
    return tuple(kept.values())


def kept_messages(settings: Settings, topics: Sequence[str]) -> Iterator[Message]:
    """All that topics held; embedded, the journal has what the log forgot."""
    if settings.mode is Mode.EMBEDDED:
        yield from as_messages(winners_in(settings.data_directory / JOURNAL_FILE, topics))
    yield from log_messages(settings, topics)


def log_messages(settings: Settings, topics: Sequence[str]) -> Iterable[Message]:
    """What the log holds of topics; embedded, where nothing runs, there is no log."""
    try:
        return open_event_log(settings).read(topics)
    except SettingsInvalid:
        raise
    except RefusedToStart:
        return ()
