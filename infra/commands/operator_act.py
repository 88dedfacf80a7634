"""What an operator does by a command, as a record of `audit.v1`."""

from __future__ import annotations

import getpass
import logging
import socket
import uuid
from datetime import datetime

from sightline.engine.records import ProducerRecord
from sightline.schemas.audit import AccessRecorded, Decision
from sightline.schemas.envelope import Event
from sightline.schemas.topics import AUDIT

SOURCE = "urn:sightline:cli"
_CARRIED_OUT = 200
_AUDIT = logging.getLogger("sightline.audit")


def operator_act(command: str, now: datetime) -> ProducerRecord:
    """Return the record of a command that was carried out, and log it.

    Args:
        command: as it was typed, without its options, such as `sightline switch g-2`.
        now: when it was carried out.
    """
    act = AccessRecorded(
        decision=Decision.ACTED,
        who=f"shell {_user()}"[:128],
        address=socket.gethostname()[:64],
        action=command[:128],
        status=_CARRIED_OUT,
        count=1,
        first_at=now,
        last_at=now,
    )
    _AUDIT.info("%s acted: %s", act.who, act.action)
    event = Event[AccessRecorded].of(act, event_id=uuid.uuid4().hex, source=SOURCE, time=now)
    return ProducerRecord(AUDIT.name, act.who, event.encode())


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container's user may have a number only
