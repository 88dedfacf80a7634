"""Which events wait for another one that is in flight: pure bookkeeping under one lock.

Two reasons to wait here. *A higher version of the same image, earlier in the same partition, is in
flight*: the lower one is decided after it, against what it left in the index, so that a winner
that must be appended again is known. *A null* waits for every event of its image before it: only
then is known whether it lies behind a winner.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from sightline.stream_workers.indexing.task import ImageTask, Planned, Polled, TaskKey


class Turns:
    """Lets events of one image and partition go on, or wait for a higher one before them."""

    def __init__(self) -> None:
        self._working: dict[TaskKey, list[ImageTask]] = defaultdict(list)
        self._unfinished: dict[TaskKey, list[ImageTask]] = defaultdict(list)
        """Tasks at work, tasks that wait, and tasks just given back."""
        self._waiting: dict[TaskKey, list[Polled | Planned]] = defaultdict(list)
        self._lock = threading.Lock()

    def enter(self, task: ImageTask, item: Planned) -> bool:
        """Whether the task may go on; if not, `leave` of the one before returns `item`."""
        with self._lock:
            if task not in self._unfinished[task.key]:
                self._unfinished[task.key].append(task)
            working = self._working[task.key]
            if any(other.fence > task.fence for other in working if other is not task):
                self._waiting[task.key].append(item)
                return False
            if task not in working:
                working.append(task)
            return True

    def may_pass(self, null: Polled) -> bool:
        """Whether nothing before the null is unfinished; if not, `leave` of that returns it."""
        with self._lock:
            before = self._unfinished.get(null.key, ())
            if not any(task.polled.message.offset < null.message.offset for task in before):
                return True
            self._waiting[null.key].append(null)
            return False

    def leave(self, task: ImageTask) -> list[Polled | Planned]:
        """Take a finished task out; returns those that must be planned again now."""
        with self._lock:
            for tasks in (self._working, self._unfinished):
                if task in tasks.get(task.key, ()):
                    tasks[task.key].remove(task)
                    if not tasks[task.key]:
                        del tasks[task.key]
            return self._waiting.pop(task.key, [])
