"""Which events wait for another one that is in flight: pure bookkeeping under one lock.

Three reasons to wait. *A higher version of the same image, earlier in the same partition, is in
flight*: the lower one is decided after it, against what it left in the index, so that a winner
that must be appended again is known. *A null* waits for every event of its image before it: only
then is known whether it lies behind a winner. *The same bytes are already being embedded*: the
follower takes the leader's result, so that unchanged bytes are paid for once.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict

from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.task import (
    ImageTask,
    PictureFacts,
    Polled,
    Rejection,
    TaskKey,
)

Verdict = PictureFacts | Rejection


class Turns:
    """Events of one image and partition: a lower one waits for a higher one before it."""

    def __init__(self) -> None:
        self._working: dict[TaskKey, list[ImageTask]] = defaultdict(list)
        self._unfinished: dict[TaskKey, list[ImageTask]] = defaultdict(list)
        """Those at work, those that wait, and those just given back."""
        self._waiting: dict[TaskKey, list[Polled | ImageTask]] = defaultdict(list)
        self._lock = threading.Lock()

    def enter(self, task: ImageTask) -> bool:
        """Whether the task may go on; if not, `leave` of the one before returns it."""
        with self._lock:
            if task not in self._unfinished[task.key]:
                self._unfinished[task.key].append(task)
            working = self._working[task.key]
            if any(other.fence > task.fence for other in working if other is not task):
                self._waiting[task.key].append(task)
                return False
            if task not in working:
                working.append(task)
            return True

    def may_pass(self, null: Polled) -> bool:
        """Whether nothing before the null is unfinished; if not, `leave` of that returns it."""
        with self._lock:
            before = self._unfinished.get(null.key, ())
            if not any(task.message.offset < null.message.offset for task in before):
                return True
            self._waiting[null.key].append(null)
            return False

    def leave(self, task: ImageTask) -> list[Polled | ImageTask]:
        """The task is finished; returns those that must be decided again now."""
        with self._lock:
            for tasks in (self._working, self._unfinished):
                if task in tasks.get(task.key, ()):
                    tasks[task.key].remove(task)
                    if not tasks[task.key]:
                        del tasks[task.key]
            return self._waiting.pop(task.key, [])


class SharedEmbeddings:
    """Equal bytes in flight are embedded once; the last results are kept for a moment.

    The index cannot answer for what is embedded but not yet written: that gap is what the kept
    results close.
    """

    def __init__(self, keep: int = 256) -> None:
        self._keep = keep
        self._leaders: dict[str, ImageTask] = {}
        self._followers: dict[str, list[ImageTask]] = defaultdict(list)
        self._kept: OrderedDict[str, Verdict] = OrderedDict()
        self._lock = threading.Lock()

    def join(self, task: ImageTask, sha256: str) -> Verdict | bool:
        """A verdict that is there already; else True: the task leads; False: it follows.

        A live task does not follow a backfill one, which may wait long: it takes over the lead.
        """
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
            self._followers[sha256].append(task)
            return False

    def resolve(self, sha256: str, verdict: Verdict) -> list[ImageTask]:
        """The verdict on these bytes; returns the followers, whose verdict it is too."""
        with self._lock:
            self._leaders.pop(sha256, None)
            self._kept[sha256] = verdict
            while len(self._kept) > self._keep:
                self._kept.popitem(last=False)
            return self._followers.pop(sha256, [])

    def abandon(self, task: ImageTask, sha256: str) -> list[ImageTask]:
        """The leader never saw these bytes; returns the followers, to be decided again."""
        with self._lock:
            if self._leaders.get(sha256) is not task:
                return []
            del self._leaders[sha256]
            return self._followers.pop(sha256, [])
