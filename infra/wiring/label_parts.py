"""The parts of the label loop in one process: what the API tells, and what runs beside it."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING

from sightline.engine.label_data.recent_triples import RecentTriplesFollower
from sightline.engine.label_data.search_stats_follower import SearchStatsFollower
from sightline.infra.supervision.label_children import FOLDER, StageChild, supervised
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.label_data import LabelData, stats_follower
from sightline.infra.wiring.recent_triples import triples_follower
from sightline.schemas.labels import Stage

if TYPE_CHECKING:
    from sightline.infra.wiring.parts import Parts


class LabelParts:
    """Built around a process's other parts, each at most once, on first use."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @cached_property
    def search_stats(self) -> SearchStatsFollower:
        """What closed searches came to."""
        parts = self._parts
        return stats_follower(parts.log, clock=parts.clock, metrics=parts.metrics)

    @cached_property
    def recent_triples(self) -> RecentTriplesFollower:
        """The last training triples."""
        return triples_follower(self._parts.log)

    def api_loops(self) -> dict[str, Loop]:
        """What the API's statistics and last triples need."""
        return {"statistics": self.search_stats.run, "recent-triples": self.recent_triples.run}

    def stage_loops(self) -> dict[str, Loop]:
        """Join and miner as children, sink and retraction; nothing where they run elsewhere."""
        parts = self._parts
        settings = parts.settings
        if not settings.labels.supervised:
            return {}
        children = [
            StageChild(
                stage=stage,
                kafka=parts.kafka,
                labels=settings.labels,
                data_directory=settings.data_directory / FOLDER,
                run_id=parts.run_id,
                metrics_host=settings.api.host,
                log_level=logging.getLevelName(logging.getLogger().level),
            )
            for stage in Stage
        ]
        data = LabelData(
            settings,
            log=parts.log,
            store=parts.store,
            producer=parts.producer,
            clock=parts.clock,
            metrics=parts.metrics,
            health=parts.health,
            run_id=parts.run_id,
            remembered_images=parts.remembered_images,
        )
        stages = {child.stage.value: supervised(child, parts.clock) for child in children}
        return stages | data.loops()
