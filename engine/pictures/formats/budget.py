"""How much reading one header may cost: steps of Python and bytes passed over, by the file's size.

The walkers hold the interpreter's lock, so that a file of millions of empty parts would stop
everything else in the process. Encoders write parts of hundreds of bytes; the smallest in quantity
are GIF's sub-blocks of 255.
"""

from __future__ import annotations

from sightline.engine.errors import BadImage, RejectReason

BASE_STEPS = 16_384
"""For small files: a GIF of 1,000 tiny frames has some 6,000 parts."""
BYTES_A_STEP = 192
"""Three quarters of a sub-block of GIF, the smallest part that large files consist of."""
BASE_BYTES = 65_536
READS_OF_A_BYTE = 3
"""A walker passes each byte once; a scan for its parts' ends and starts passes it twice more."""


class HeaderBudget:
    """Steps and bytes that are left for one file's header.

    Args:
        size_bytes: of the file.
        of_small_parts: whether the format cuts its pixels into parts, so that a large picture has
            many; other formats have a few hundred, however large.
    """

    def __init__(self, size_bytes: int, *, of_small_parts: bool) -> None:
        self.steps = BASE_STEPS + (size_bytes // BYTES_A_STEP if of_small_parts else 0)
        self.bytes = BASE_BYTES + READS_OF_A_BYTE * size_bytes

    def step(self, passed_bytes: int = 0) -> None:
        """Pays for one part of the header.

        Raises:
            BadImage: no step or byte is left.
        """
        self.steps -= 1
        self.bytes -= passed_bytes
        if self.steps < 0 or self.bytes < 0:
            raise BadImage(
                RejectReason.CORRUPT,
                "its header has more parts than an encoder writes; encode it again",
            )
