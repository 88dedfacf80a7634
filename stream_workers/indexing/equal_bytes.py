"""Equal bytes in flight are embedded once: who leads, who waits for the leader's verdict."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict

from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.task import Fetched, ImageTask, Verdict


class SharedEmbeddings:
    """Keeps who embeds which bytes, who waits for that, and the last verdicts for a moment.

    The index cannot answer for what is embedded but not yet written: that gap is what the kept
    verdicts close. Only bytes that were read count as equal: a digest that an event merely claims
    would let a publisher end up with the verdict, and the renditions, of pictures that it does not
    have. Safe from several threads.
    """

    def __init__(self, keep: int = 256) -> None:
        self._keep = keep
        self._leaders: dict[str, ImageTask] = {}
        self._followers: dict[str, list[Fetched]] = defaultdict(list)
        self._kept: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def join(self, fetched: Fetched) -> Verdict | bool:
        """Return a verdict that is there already; else True: the task leads; False: it follows.

        A live task does not follow a backfill one, which may wait long: it takes over the lead.
        """
        task, sha256 = fetched.task, fetched.content_sha256
        with self._lock:
            if sha256 in self._kept:
                self._kept.move_to_end(sha256)
                return self._kept[sha256]
            leader = self._leaders.get(sha256)
            overtakes = leader is not None and (leader.lane, task.lane) == (
                Lane.BACKFILL,
                Lane.LIVE,
            )
            if leader is None or leader is task or overtakes:
                self._leaders[sha256] = task
                return True
            self._followers[sha256].append(fetched)
            return False

    def resolve(self, sha256: str, verdict: Verdict) -> list[Fetched]:
        """Keep the verdict on these bytes; returns the followers, whose verdict it is too."""
        with self._lock:
            self._leaders.pop(sha256, None)
            self._kept[sha256] = verdict
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return self._followers.pop(sha256, [])

    def abandon(self, task: ImageTask) -> list[Fetched]:
        """Forget a leader that came to no verdict; returns its followers, to be planned again."""
        with self._lock:
            led = [sha256 for sha256, leader in self._leaders.items() if leader is task]
            for sha256 in led:
                del self._leaders[sha256]
            return [follower for sha256 in led for follower in self._followers.pop(sha256, [])]
