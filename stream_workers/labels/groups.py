"""The consumer groups of the label stages: each pipeline of topics has groups of its own."""

from __future__ import annotations

from sightline.engine.settings import LabelSettings, SinkSettings

RULES = "v2"
"""The version in the names of the topics that the join writes: what an earlier one has finished is
closed again for the new topics."""


def join_group(labels: LabelSettings, interactions: str) -> str:
    """The group of the join that reads this topic, named without prefix."""
    return f"{labels.join_group}-{interactions}-{RULES}"


def mine_group(labels: LabelSettings, closed: str) -> str:
    """The group of the miner that reads this topic, named without prefix."""
    return f"{labels.mine_group}-{closed}"


def metrics_group(sink: SinkSettings, closed: str) -> str:
    """The group of the fold that reads this topic, named without prefix."""
    return f"{sink.metrics_group}-{closed}"
