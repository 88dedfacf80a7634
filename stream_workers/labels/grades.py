"""The grades that a result of a closed search can have (docs/labels.md, 7)."""

from __future__ import annotations

SHARED_OR_CONVERTED, LIKED, LONG_CLICK, CLICK, SHORT_CLICK, NOTHING = 5, 4, 3, 2, 1, 0
POSITIVE = CLICK
"""A result of this grade or a higher one can teach as the positive of a triple."""
