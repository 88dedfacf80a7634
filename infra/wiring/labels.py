"""The loop of labels in one process: what the API tells of it, and what runs beside it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sightline.engine.event_log.following import Followed
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats_follower import SearchStatsFollower
from sightline.infra.supervision.label_children import FOLDER, StageChild, supervised
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.judgements import judgements_follower
from sightline.infra.wiring.label_data import LabelData, stats_follower
from sightline.infra.wiring.node import Base, Node
from sightline.infra.wiring.recent_triples import triples_follower
from sightline.schemas.labels import Stage


@dataclass(frozen=True, kw_only=True)
class LabelFollowers:
    """What follows the log for the API."""

    search_stats: SearchStatsFollower
    """What closed searches came to."""
    recent_triples: Followed[RecentTriples]
    """The last training triples."""
    judgements: Followed[HeldJudgements]
    """What people graded."""

    def loops(self) -> dict[str, Loop]:
        """Names the loops that follow statistics, triples and judgements, to be run."""
        return {
            "statistics": self.search_stats.run,
            "recent-triples": self.recent_triples.run,
            "judgements": self.judgements.run,
        }


def label_followers(base: Base) -> LabelFollowers:
    """The API's followers on a process's log."""
    return LabelFollowers(
        search_stats=stats_follower(base.log, clock=base.clock, metrics=base.metrics),
        recent_triples=triples_follower(base.log),
        judgements=judgements_follower(base.log),
    )


def stage_loops(node: Node) -> dict[str, Loop]:
    """Join and miner as children, sink and retraction; nothing where they run elsewhere."""
    settings = node.settings
    if not settings.labels.supervised:
        return {}
    children = [_child(node, stage) for stage in Stage]
    data = LabelData(
        settings,
        log=node.log,
        store=node.store,
        producer=node.producer,
        clock=node.clock,
        metrics=node.metrics,
        health=node.health,
        run_id=node.run_id,
        remembered_images=node.remembered_images,
    )
    stages = {child.stage.value: supervised(child, node.clock) for child in children}
    return stages | data.loops() | dict(node.label_keepers)


def _child(node: Node, stage: Stage) -> StageChild:
    settings = node.settings
    return StageChild(
        stage=stage,
        kafka=node.kafka,
        labels=settings.labels,
        data_directory=settings.data_directory / FOLDER,
        run_id=node.run_id,
        metrics_host=settings.api.host,
        log_level=logging.getLevelName(logging.getLogger().level),
    )
