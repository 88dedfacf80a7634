"""The embedded log as its own processes read it: about images the journal speaks, not the broker.

The in-process broker listens without passwords (docs/adr/0008). Who reads it for commands, training
and retraction has no seal to check, since that never leaves the owner; but whatever the owner
appended about images stands in the journal, which nobody else can write.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from sightline.engine.event_log.embedded.journal import as_messages, is_recorded, records_in
from sightline.engine.event_log.embedded.journaled_producer import JOURNALED
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.records import Message
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import dead_letters_of

_LETTERS = frozenset(dead_letters_of(name).name for name in JOURNALED)


class JournaledEventLog(KafkaEventLog):
    """An `EventLog` of the in-process broker that reads image events and decisions in the journal.

    Dead letters of those are read where they are of an event that stands there: a replay would
    publish whatever else somebody appended in the owner's name.

    Args:
        settings: of the in-process broker.
        journal: the owner's file.
    """

    def __init__(self, settings: KafkaSettings, journal: Path) -> None:
        super().__init__(settings, finds_times=False)
        self._journal = journal
        self._partitions = settings.partitions

    def read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterator[Message]:
        """See `EventLog.read`; what is journaled is in order of its writing."""
        ours = [topic for topic in topics if topic in JOURNALED]
        if ours:
            yield from self._journaled(ours, key, since)
        others = [topic for topic in topics if topic not in JOURNALED]
        for message in super().read(others, key=key, since=since) if others else ():
            if message.topic not in _LETTERS or self._is_ours(message):
                yield message

    def _journaled(
        self, topics: Sequence[str], key: str | None, since: datetime | None
    ) -> Iterator[Message]:
        place = None if key is None else partition_of(key, self._partitions)
        for message in as_messages(records_in(self._journal, topics)):
            here = place is None or partition_of(message.key_text, self._partitions) == place
            if here and (since is None or message.timestamp >= since):
                yield message

    def _is_ours(self, letter: Message) -> bool:
        return is_recorded(self._journal, letter.key_text, letter.value)
