"""Text that two readers would read differently is refused, however much of it there is."""

from __future__ import annotations

import pytest

from sightline.schemas import strict_json
from sightline.schemas.strict_json import DoubledKey

MOST_KEYS = 100_000
"""About as many keys as one message of 1 MiB can have."""


@pytest.mark.timeout(30)  # comparing each key with each other would take minutes
def test_the_doubled_one_of_very_many_keys_is_named() -> None:
    """The work grows with the keys, not with their square: one message must not stall a reader."""
    keys = ",".join(f'"{number}":0' for number in range(MOST_KEYS))
    with pytest.raises(DoubledKey, match=f"'{MOST_KEYS - 1}' is there twice") as caught:
        strict_json.loads(f'{{{keys},"{MOST_KEYS - 1}":1}}')
    assert caught.value.key == str(MOST_KEYS - 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ('{"a":NaN}', "NaN"),
        ("[Infinity]", "Infinity"),
        ("[" * 100_000, "deep"),
        ("9" * 5_000, "digits"),
    ],
)
def test_what_is_no_json_is_refused(text: str, told: str) -> None:
    """Also what Python's own reader takes."""
    with pytest.raises(ValueError, match=told):
        strict_json.loads(text)


def test_a_long_key_is_told_short() -> None:
    """Messages are logged and answered: they stay small."""
    with pytest.raises(DoubledKey) as caught:
        strict_json.loads(f'{{"{"k" * 900}":1,"{"k" * 900}":2}}')
    assert len(str(caught.value)) < 200
