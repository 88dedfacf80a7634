"""How patiently files are published: a bounded wait for what fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TypeVar

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import Overloaded, TransientError
from sightline.engine.ports import Clock

T = TypeVar("T")

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0


def patiently(
    action: Callable[[], T], *, patience_s: float, clock: Clock, stop: threading.Event
) -> T:
    """Run `action` until it works; give up on a part that fails for `patience_s`.

    Overload is waited out without a bound: the part works, and says that it will have us.

    Raises:
        TransientError: the last failure, after `patience_s` or when stopped.
    """
    failing_since = math.inf

    def failed(error: TransientError) -> None:
        nonlocal failing_since
        now = clock.monotonic()
        failing_since = math.inf if isinstance(error, Overloaded) else min(failing_since, now)
        if now - failing_since > patience_s:
            raise error

    backoff = Backoff(initial_s=_FIRST_WAIT_S, maximum_s=_LONGEST_WAIT_S)
    return retry_transient(action, backoff=backoff, stop=stop, failed=failed)
