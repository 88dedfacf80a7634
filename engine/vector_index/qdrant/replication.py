"""How the replicas of a generation agree on writes and reads (docs/adr/0030)."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from json import JSONDecodeError
from typing import NamedTuple, TypeVar

from qdrant_client import QdrantClient, models

from sightline.engine.backoff import retry_for
from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.vector_index.qdrant.client import QdrantCalls

Answer = TypeVar("Answer")
_A_PAIR = 2
_SECOND_TRY_MS = 100
"""After so long a read that one replica has not answered goes to another, too."""
_MAJORITY_S = 2
"""So long a pair is waited for, where one of them is enough."""
_ELECTION_S, _LOOK_S = 5.0, 0.1
"""So long, and so often, a node is asked whether another leader is elected."""
_CATCHING_UP_S = 1.0
"""Ten ticks of consensus, in which who just met a leader learns what the others decided."""
_FILLING_S, _AGAIN_S = 1.0, 0.02
"""So long, and so often, a read that failed is repeated on a node that begins to fill another."""


class Reading(NamedTuple):
    """How a read is to be asked for; None: as the server or the client does by itself."""

    consistency: models.ReadConsistencyType | None = None
    timeout_s: int | None = None


@dataclass(frozen=True, slots=True)
class Replication:
    """The number of copies of each shard, and what follows from it.

    Every replica that a write reached is met by every read: `writes` and a majority together are
    more than there are.
    """

    replicas: int = 1

    @property
    def alone(self) -> bool:
        """Whether there is one copy, which agrees with itself."""
        return self.replicas == 1

    @property
    def writes(self) -> int:
        """How many replicas must have applied a write before it is acknowledged.

        Qdrant takes the others out of service before it acknowledges. Were all required, one that
        is down would stop every write, and would be in service again, with its old state, as soon
        as it is back.
        """
        return self.replicas - self.replicas // 2

    @property
    def ordering(self) -> models.WriteOrdering | None:
        """One replica that is up orders the writes to its shard, so that all apply them alike.

        A write to an image is conditional on the decision that is stored with it: applied in
        another order, a replica would keep what the others replaced.
        """
        return None if self.alone else models.WriteOrdering.MEDIUM

    @property
    def second_try_ms(self) -> int | None:
        """When a read that is not answered goes to another replica; None: there is no other."""
        return None if self.alone else _SECOND_TRY_MS

    @property
    def majority(self) -> Reading:
        """How to ask for what a majority has alike."""
        if self.alone:
            return Reading()
        return Reading(
            models.ReadConsistencyType.QUORUM, timeout_s=_MAJORITY_S if self.is_pair else None
        )

    @property
    def is_pair(self) -> bool:
        """Whether a majority is both replicas, so that reads must do without it where one is down.

        With three or more a majority is left.
        """
        return self.replicas == _A_PAIR


class RepeatedReads:
    """Reads, and repeats for a moment what a server failed at.

    A node that begins or ends to fill another's replica waits until nobody reads its own, and has
    none for everybody who comes meanwhile (`Local shard 1 not found`): the longer, the longer the
    reads take that are under way.
    """

    def __init__(self, calls: QdrantCalls, replication: Replication) -> None:
        self._calls = calls
        self._alone = replication.alone

    def __call__(self, doing: str, read: Callable[[QdrantClient], Answer]) -> Answer:
        """What `read` returns.

        Raises:
            PartUnavailable, Overloaded: as `QdrantCalls`; the server failed for a second.
        """
        return retry_for(
            _FILLING_S,
            lambda: self._calls(doing, read),
            every_s=_AGAIN_S,
            passes=lambda error: not (self._alone or isinstance(error, Overloaded)),
        )


class AgreedReads:
    """Reads points as a majority of the replicas has them; what they do not agree on is left out.

    A replica that was down is believed by nobody until it has caught up: Qdrant lets a node answer
    before that, from the state that it was killed with.
    """

    def __init__(self, calls: QdrantCalls, replication: Replication) -> None:
        self._calls = calls
        self._repeated = RepeatedReads(calls, replication)
        self._replication = replication

    def __call__(self, doing: str, read: Callable[[QdrantClient, Reading], Answer]) -> Answer:
        """What `read` returns, which hands on to the server how it is asked.

        Raises:
            PartUnavailable, Overloaded: as `QdrantCalls`; too few replicas are up.
        """
        majority = self._replication.majority
        if not self._replication.is_pair:
            return self._repeated(doing, lambda client: read(client, majority))
        try:
            return self._calls(doing, lambda client: read(client, majority))
        except Overloaded:
            raise
        except PartUnavailable:
            return self._repeated(doing, lambda client: self._of_one(doing, client, read))

    def _of_one(
        self, doing: str, client: QdrantClient, read: Callable[[QdrantClient, Reading], Answer]
    ) -> Answer:
        """Read one replica, on a node that knows at this moment what the others decided."""
        self._be_in_touch(f"{doing} with one replica down")
        return read(client, Reading())

    def _be_in_touch(self, doing: str) -> None:
        """Refuse a node that may not know what the others decided.

        Ready it stays until it ends, and it says so, too, where it reached nobody at its start.

        Raises:
            PartUnavailable: it has not caught up since its start, or is parted from the others.
        """
        self._calls(doing, _be_ready)
        deadline = time.monotonic() + _ELECTION_S
        waits = False
        while not _is_in_touch(self._calls(doing, lambda client: client.cluster_status())):
            if time.monotonic() >= deadline:
                raise PartUnavailable(Part.INDEX, f"{doing}: the node reaches no majority of nodes")
            waits = True
            time.sleep(_LOOK_S)
        if waits:
            time.sleep(_CATCHING_UP_S)


def _be_ready(client: QdrantClient) -> None:
    """Refuses a node that has not caught up with the others since its start."""
    with suppress(JSONDecodeError):  # that it is ready it says in plain words
        client.http.service_api.readyz()


def _is_in_touch(status: models.ClusterStatus) -> bool:
    """Whether a node has a leader and reaches a majority of all nodes, or there are but two.

    Of two, neither takes a write that the other lacks: that takes consensus, thus both.
    """
    if not isinstance(status, models.ClusterStatusOneOf1) or len(status.peers) <= _A_PAIR:
        return True
    silent = sum(peer.uri in status.message_send_failures for peer in status.peers.values())
    return bool(status.raft_info.leader) and 2 * silent < len(status.peers)
