"""Objects as the object store tells of them: size, etag, times and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the object store says about an object."""

    bucket: str
    key: str
    size_bytes: int
    etag: str
    """Changes with every write; opaque."""
    modified: datetime | None = None
    content_type: str = "application/octet-stream"
    metadata: dict[str, str] = field(default_factory=dict)
    """User metadata, names in lower case without `x-amz-meta-`."""
