"""The consumer groups of the label stages: each pipeline of topics has groups of its own."""

from __future__ import annotations

from sightline.engine.settings import LabelSettings


def join_group(labels: LabelSettings, interactions: str) -> str:
    """Of the join of this topic, without prefix."""
    return f"{labels.join_group}-{interactions}"


def mine_group(labels: LabelSettings, closed: str) -> str:
    """Of the miner of this topic, without prefix."""
    return f"{labels.mine_group}-{closed}"
