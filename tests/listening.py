"""What a member of a group does when it is given partitions: here, it notes them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sightline.engine.records import TopicPartition


class Listener:
    """A `RebalanceListener` that notes what it is told, and what its consumer holds."""

    def __init__(self) -> None:
        self.told: list[str] = []
        """In order: `assigned 4`, `revoked 2`, `lost 2`."""
        self.held: set[TopicPartition] = set()
        self.on_revoke: Callable[[Collection[TopicPartition]], None] = lambda _: None

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.told.append(f"assigned {len(partitions)}")
        self.held |= set(partitions)

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.told.append(f"revoked {len(partitions)}")
        self.on_revoke(partitions)
        self.held -= set(partitions)

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener`."""
        self.told.append(f"lost {len(partitions)}")
        self.held -= set(partitions)
