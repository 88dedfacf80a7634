"""One consumer group in memory: who is in it, who holds what, and how far it has committed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Generic, TypeVar

from sightline.engine.records import TopicPartition

Member = TypeVar("Member")


class MemoryGroup(Generic[Member]):
    """Shares partitions out evenly; a partition changes hands only after its holder let it go.

    Its broker's lock guards it.
    """

    def __init__(self) -> None:
        self.committed: dict[TopicPartition, int] = {}
        self._members: dict[Member, Sequence[TopicPartition]] = {}
        self._holders: dict[TopicPartition, Member] = {}
        self._meant: dict[TopicPartition, Member] = {}

    @property
    def has_members(self) -> bool:
        """Whether somebody has joined it and not left."""
        return bool(self._members)

    def join(self, member: Member, partitions: Sequence[TopicPartition]) -> None:
        """Let a member read some of these."""
        self._members[member] = partitions
        self._share_out()

    def leave(self, member: Member) -> None:
        """Let go of all that a member held; one that is not in the group is fine."""
        self._members.pop(member, None)
        self._holders = {at: who for at, who in self._holders.items() if who is not member}
        self._share_out()

    def held(self, member: Member) -> list[TopicPartition]:
        """The partitions that a member has now."""
        return [at for at, who in self._holders.items() if who is member]

    def to_release(self, member: Member) -> list[TopicPartition]:
        """What a member has and another is to have."""
        return [at for at in self.held(member) if self._meant.get(at) is not member]

    def release(self, partitions: Collection[TopicPartition]) -> None:
        """Takes partitions from whoever holds them, so that nobody does."""
        for at in partitions:
            self._holders.pop(at, None)

    def free(self, member: Member) -> list[TopicPartition]:
        """What is meant for a member and held by nobody."""
        return [a for a, who in self._meant.items() if who is member and a not in self._holders]

    def take(self, member: Member) -> list[TopicPartition]:
        """Give a member what is meant for it and free; returns what is new."""
        taken = self.free(member)
        self._holders |= dict.fromkeys(taken, member)
        return taken

    def _share_out(self) -> None:
        wanted = sorted({at for partitions in self._members.values() for at in partitions})
        keep = {at: who for at, who in self._holders.items() if who in self._members}
        self._meant = shared_out(wanted, self._members, keep)


def shared_out(
    partitions: Sequence[TopicPartition],
    members: Mapping[Member, Sequence[TopicPartition]],
    holders: Mapping[TopicPartition, Member],
) -> dict[TopicPartition, Member]:
    """Who is to hold what: as even as can be, and moving as little as that allows."""
    if not members:
        return {}
    least, larger = divmod(len(partitions), len(members))
    by_size = sorted(members, key=lambda who: -sum(w is who for w in holders.values()))
    room = {who: least + (n < larger) for n, who in enumerate(by_size)}
    meant: dict[TopicPartition, Member] = {}
    for at in partitions:
        holder = holders.get(at)
        if holder is not None and room[holder] > 0 and at in members[holder]:
            meant[at] = holder
            room[holder] -= 1
    for at in partitions:
        readers = [who for who, theirs in members.items() if at in theirs]
        if at not in meant and readers:
            meant[at] = max(readers, key=room.__getitem__)
            room[meant[at]] -= 1
    return meant
