"""Structured logs: one JSON object a line on standard error, without secrets."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

_STANDARD = frozenset(
    (*vars(logging.makeLogRecord({})), "message", "asctime", "taskName")  # what every record has
)
_SECRET_WORDS = ("password", "secret", "token", "api_key", "authorization", "credential")
_HIDDEN = "***"


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, logger, message, and what `extra` gave.

    Values of fields whose names speak of secrets are masked; pydantic's `SecretStr` masks itself.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Writes a record as one line of JSON, without secrets."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line[name] = _HIDDEN if _speaks_of_secrets(name) else value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def _speaks_of_secrets(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_WORDS)


def configure_logs(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every logger's records as JSON lines to `stream` (standard error); repeats replace."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
