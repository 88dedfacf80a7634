"""A generation that is to be fed in, and whether the log forgot what it had still to read out.

Where nobody fed it for longer than the log keeps things, it looks ready and is not: it is filled
and proven again before it may serve (docs/adr/0024-what-serves.md).
"""

from __future__ import annotations

import logging

from sightline.engine.errors import TransientError
from sightline.engine.serving.values import KnownGeneration
from sightline.infra.wiring.node import Node
from sightline.stream_workers.image_log.groups import generation_groups
from sightline.stream_workers.reindexing.offsets import begin_groups, forgotten
from sightline.stream_workers.reindexing.progress import ProgressRecord, ReindexProgress

_log = logging.getLogger(__name__)


def look_for_unread(node: Node, known: KnownGeneration) -> None:
    """Let a generation be filled again that has not read what the log forgot; what serves is told.

    To be called before anybody reads for it: afterwards its groups are past what is gone.

    Raises:
        PartUnavailable: broker or store did not answer, and it serves nobody; a repeat is safe.
    """
    if node.events.run_id is not None or not known.may_serve:
        return  # an embedded log's journal forgets nothing; what is being filled is proven
    state = node.serving.record.read().state
    if known.name not in state.in_service:
        _fill_again(node, known, state.serves.generation)
        return
    try:
        lost = _lost(node, known)
    except TransientError as error:
        _log.warning("whether generation %s has read all is not known: %s", known.name, error)
        return
    if lost:
        _log.error("generation %s serves, and %s: `sightline reconcile`", known.name, lost)


def _fill_again(node: Node, known: KnownGeneration, serving: str) -> None:
    """The wish comes first: what was found of it when it was proven holds no longer."""
    lost = _lost(node, known)
    if not lost:
        return
    now = node.watch.clock.now()
    asked = ReindexProgress(
        generation=known.name,
        by="features",
        seeded_from=serving,
        asked_at=now,
        step_began_at=now,
        noted_at=now,
    )
    ProgressRecord.of(node.settings, node.store, known.name).ask(asked)
    node.serving.record.change(lambda state: state.to_fill_again(known.name, now, lost))
    groups = generation_groups(known.group)
    begin_groups(node.events.log, groups, seeded_from=groups)
    _log.error("generation %s is filled again: %s", known.name, lost)


def _lost(node: Node, known: KnownGeneration) -> str:
    """Says what the log forgot before it was read; empty: nothing."""
    places = forgotten(node.events.log, generation_groups(known.group), node.watch.clock.now())
    told = ", ".join(f"{at.topic}/{at.partition}" for at in places)
    return f"the log forgot events that it had not read ({told})" if told else ""
