"""Dead letters: what headers carry is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.schemas.dead_letters import HEADER_PREFIX, MAX_FACT_CHARS, DeadLetterFacts
from sightline.schemas.envelope import ContractError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=MAX_FACT_CHARS)
facts = st.builds(
    DeadLetterFacts,
    topic=texts,
    partition=st.integers(0, 10_000),
    offset=st.integers(0, 2**53),
    stage=texts,
    error=texts,
    message=texts,
    attempts=st.integers(1, 1_000),
)
FACTS = DeadLetterFacts(
    topic="images.v1", partition=3, offset=17, stage="decode", error="ContractError", message="m"
)


@given(facts)
def test_facts_survive_the_headers(said: DeadLetterFacts) -> None:
    """Headers are text; numbers and accents come back as they were."""
    assert DeadLetterFacts.parse(said.headers()) == said


def test_other_headers_are_left_alone() -> None:
    """The original headers travel along and are not facts."""
    mixed = [("traceparent", b"00-x"), *FACTS.headers(), ("blob", b"\xff\x00")]
    assert DeadLetterFacts.parse(mixed) == FACTS


def test_a_long_message_is_cut() -> None:
    """A message of a megabyte does not make its dead letter refused."""
    long = FACTS.model_copy(update={"message": "é" * 5_000})
    assert DeadLetterFacts.parse(long.headers()).message == "é" * MAX_FACT_CHARS


def test_a_lone_surrogate_in_a_message_does_not_stop_the_burial() -> None:
    """What cannot be encoded is replaced: the worker must always be able to bury."""
    odd = FACTS.model_copy(update={"message": "name \udcff"})
    assert DeadLetterFacts.parse(odd.headers()).message == "name ?"


@pytest.mark.parametrize("name", ["topic", "partition", "offset", "stage", "error", "message"])
def test_a_missing_fact_is_named(name: str) -> None:
    """A letter that somebody else wrote is refused by the header that it lacks."""
    headers = [(n, v) for n, v in FACTS.headers() if n != HEADER_PREFIX + name]
    with pytest.raises(ContractError) as caught:
        DeadLetterFacts.parse(headers)
    assert caught.value.field == name


def test_a_fact_that_is_no_number_is_named() -> None:
    """A malformed offset is refused by name."""
    headers = [*FACTS.headers(), (HEADER_PREFIX + "offset", b"seventeen")]
    with pytest.raises(ContractError) as caught:
        DeadLetterFacts.parse(headers)
    assert caught.value.field == "offset"
