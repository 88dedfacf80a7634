"""Which consumer groups a process reads the image topics for: those of the generations it feeds."""

from __future__ import annotations

from collections.abc import Collection

from sightline.engine.serving.state import ServingState
from sightline.stream_workers.image_log.groups import generation_groups


class FedGroups:
    """The consumer groups of the generations that are fed; safe from several threads.

    Args:
        state: as it is at the start.
    """

    def __init__(self, state: ServingState) -> None:
        self._begin: tuple[str, ...] = ()
        self.follow(state, away=())

    def follow(self, state: ServingState, *, away: Collection[str]) -> None:
        """These generations there are, and `away` are not fed by this process for now."""
        self._begin = tuple(
            one.group
            for one in state.generations
            if one.name in state.in_service or one.name not in away
        )

    def feeds(self, group: str) -> bool:
        """Whether this process reads for the generation whose groups begin so."""
        return group in self._begin

    def of(self, topic: str) -> list[str]:
        """Names the groups that must have read a topic's record before it may be forgotten."""
        groups = (generation_groups(begin).get(topic) for begin in self._begin)
        return [group for group in groups if group is not None]
