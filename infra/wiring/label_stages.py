"""Join and miner as children of a node, with sink and retraction beside them."""

from __future__ import annotations

import logging

from sightline.infra.supervision.label_children import (
    FOLDER,
    StageChild,
    say_what_is_lost,
    supervised,
)
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.label_data import LabelData
from sightline.infra.wiring.node import Node
from sightline.schemas.labels import Stage


def stage_loops(node: Node) -> dict[str, Loop]:
    """Join and miner as children, sink and retraction; nothing where they run elsewhere."""
    settings = node.settings
    if not settings.labels.supervised:
        return {}
    children = [_child(node, stage) for stage in Stage]
    data = LabelData(
        settings,
        log=node.events.log,
        store=node.store,
        producer=node.events.producer,
        clock=node.watch.clock,
        metrics=node.watch.metrics,
        health=node.watch.health,
        run_id=node.events.run_id,
    )
    stages = {child.stage.value: supervised(child, node.watch.clock) for child in children}
    loops = stages | data.loops()
    return loops if node.events.journal is None else loops | {"lost labels": say_what_is_lost}


def _child(node: Node, stage: Stage) -> StageChild:
    settings = node.settings
    return StageChild(
        stage=stage,
        kafka=node.events.kafka,
        labels=settings.labels,
        data_directory=settings.data_directory / FOLDER,
        run_id=node.events.run_id,
        metrics_host=settings.api.host,
        log_level=logging.getLevelName(logging.getLogger().level),
    )
