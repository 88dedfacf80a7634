"""How each file and folder of a backfill ends."""

from __future__ import annotations

from enum import StrEnum


class FileEnd(StrEnum):
    """The one end of every file, and of every folder that was not gone through."""

    PUBLISHED = "published"
    """Acknowledged by the log."""
    KNOWN = "known"
    """Not published: the image is known, just like this."""
    DIFFERS = "differs"
    """Not published: the image is known and differs; `--replace` publishes it."""
    RESUMED = "resumed"
    """Not published: an earlier, interrupted run did."""
    UNSUPPORTED = "unsupported"
    """Not published: by its name no still picture."""
    SKIPPED = "skipped"
    """Not published: hidden, of a system, or a link to a folder; a manifest may name it."""
    FAILED = "failed"
    """Not published: see the reason."""


Ended = tuple[FileEnd, str]
"""An end and its reason, which is blank where there is nothing to say."""
