"""What `sightline doctor` says of one part: well, or not and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing, told in one line."""

    part: str
    ok: bool
    message: str
    """What was found; holds no secret."""
    remedy: str = ""
    """What to do, in one line; empty where all is well."""

    def __str__(self) -> str:
        line = f"{'ok ' if self.ok else 'BAD'}  {self.part}: {self.message}"
        return f"{line} -> {self.remedy}" if self.remedy else line


def fine(part: str, message: str) -> Finding:
    """Reports that a part works, with a message that says how."""
    return Finding(part, ok=True, message=_one_line(message))


def bad(part: str, message: str, remedy: str) -> Finding:
    """Reports that a part does not work, and what to do about it."""
    return Finding(part, ok=False, message=_one_line(message), remedy=remedy)


def _one_line(text: str) -> str:
    return " ".join(text.split())
