"""Waiting on a condition with a deadline: what tests do instead of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tests.patience import patient

T = TypeVar("T")
INTERVAL_S = 0.02


def eventually(
    predicate: Callable[[], T],
    *,
    timeout_s: float = 15.0,
    interval_s: float = INTERVAL_S,
    reason: str = "the condition",
) -> T:
    """The predicate's first truthy answer.

    Args:
        predicate: asked again and again.
        timeout_s: on a quiet machine; on others longer, see `tests/patience.py`.
        interval_s: between two questions.
        reason: what is waited for, said when it does not come.

    Raises:
        AssertionError: it stayed falsy until the deadline; the last answer is quoted.
    """
    timeout_s = patient(timeout_s)
    deadline = time.monotonic() + timeout_s
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{reason} did not hold within {timeout_s:.0f} s; last: {answer!r}"
            )
        time.sleep(interval_s)
