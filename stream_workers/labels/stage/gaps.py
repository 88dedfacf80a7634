"""Whether offsets that were skipped held anything: asked of the log, seldom, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sightline.stream_workers.labels.safe_offset import OffsetGap

NextRecord = Callable[[int], int]
"""The offset of the first record that can be read from an offset on, else the log's end."""

_NOTHING = (-1, -1)


class Gaps:
    """Lets a partition pass over offsets that the broker can explain.

    They are ends of transactions, aborted records, compaction, deletion below the log's start.

    Args:
        place: names the partition in an error.
        next_record: asks the log; blocks.
    """

    def __init__(self, place: str, next_record: NextRecord) -> None:
        self._place = place
        self._next_record = next_record
        self._last = _NOTHING

    async def is_next(self, expected: int, found: int) -> bool:
        """Whether nothing that can be read lies between, by an answer that may be old.

        A "no" is then old, too, where the log has grown by gaps meanwhile.
        """
        return found == expected or found <= await self._following(expected)

    async def is_next_now(self, expected: int, found: int) -> bool:
        """Whether nothing that can be read lies between: the log is asked."""
        self._last = _NOTHING
        return await self.is_next(expected, found)

    async def check(self, expected: int, found: int) -> None:
        """Return if `found` is next.

        Raises:
            OffsetGap: the log has records between, which never came; the process must end.
        """
        if not (await self.is_next(expected, found) or await self.is_next_now(expected, found)):
            raise OffsetGap(
                f"{self._place}: expected offset {expected}, got {found}, though the log has "
                "records between them"
            )

    async def _following(self, expected: int) -> int:
        """Asks once for each offset that is expected."""
        asked, answer = self._last
        if asked != expected:
            answer = await asyncio.to_thread(self._next_record, expected)
            self._last = (expected, answer)
        return answer
