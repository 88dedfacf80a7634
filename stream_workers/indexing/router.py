"""Tasks from stage to stage: what each stage of the index worker hands on, and to which queue."""

from __future__ import annotations

from sightline.engine.records import Stage
from sightline.stream_workers.delivery.threads import Later
from sightline.stream_workers.indexing.apply import Write
from sightline.stream_workers.indexing.decisions import hides
from sightline.stream_workers.indexing.fetch import ByteBudget
from sightline.stream_workers.indexing.lane_queue import LaneQueue, LaneRoom
from sightline.stream_workers.indexing.task import ImageTask, PictureFacts, Polled, Rejection
from sightline.stream_workers.indexing.turns import SharedEmbeddings


class HandingOn:
    """The arrows between planning, fetching, embedding and applying.

    Args:
        to_plan, to_fetch, to_embed, to_write: the queues of the stages.
        budget: of the bytes that tasks hold; what is let go of is released there.
        room: places between poll and apply; a waiting task is parked there.
        later: a timer, for what must be planned again after `again_s` seconds.
        shared: tasks that wait for the verdict on equal bytes.
    """

    def __init__(
        self,
        *,
        to_plan: LaneQueue[Polled | ImageTask],
        to_fetch: LaneQueue[ImageTask],
        to_embed: LaneQueue[ImageTask],
        to_write: LaneQueue[Write],
        budget: ByteBudget,
        room: LaneRoom,
        later: Later,
        again_s: float,
        shared: SharedEmbeddings,
    ) -> None:
        self._to_plan = to_plan
        self._to_fetch = to_fetch
        self._to_embed = to_embed
        self._to_write = to_write
        self._budget = budget
        self._room = room
        self._later = later
        self._again_s = again_s
        self._shared = shared

    def fetch(self, task: ImageTask) -> None:
        """Its bytes are needed."""
        self._to_fetch.put(task.lane, [task])

    def embed(self, task: ImageTask) -> None:
        """Its bytes are here."""
        self._to_embed.put(task.lane, [task])

    def write(self, task: ImageTask) -> None:
        """It is decided; what hides goes first."""
        self._let_go(task)
        urgent = hides(task) and not task.settled
        self._to_write.put(task.lane, [Write(task, Stage.FINAL)], urgent=urgent)

    def wait(self, item: Polled | ImageTask) -> None:
        """Without its bytes: what waits must not keep others from being fetched."""
        if isinstance(item, ImageTask):
            self._let_go(item)
        self._room.park(item.lane)

    def hide(self, task: ImageTask) -> None:
        """Out of sight at once, decided or not."""
        self._to_write.put(task.lane, [Write(task, Stage.PROVISIONAL)], urgent=True)

    def plan_again(self, item: Polled | ImageTask) -> None:
        """What it was planned by has changed."""
        self._to_plan.put(item.lane, [item])

    def resume(self, item: Polled | ImageTask) -> None:
        """What it waited for is over."""
        self._room.unpark(item.lane)
        self.plan_again(item)

    def plan_later(self, task: ImageTask) -> None:
        """Another write won; the index may show it in a moment."""
        self._later.after(self._again_s, lambda: self.plan_again(task))

    def judged(self, task: ImageTask, verdict: PictureFacts | Rejection) -> None:
        """The bytes were looked at: the verdict is that of all who wait for equal bytes."""
        task.verdict = verdict
        self.write(task)
        if task.content_sha256 is None:
            return
        for follower in self._shared.resolve(task.content_sha256, verdict):
            self._room.unpark(follower.lane)
            follower.verdict = verdict
            self.write(follower)

    def reject_unseen(self, task: ImageTask, rejection: Rejection) -> None:
        """Its bytes were never seen: no verdict on those of others."""
        task.verdict = rejection
        self.write(task)
        self.release_followers(task)

    def release_followers(self, task: ImageTask) -> None:
        """Those who waited for its verdict look for themselves."""
        if task.promised_sha256 is not None:
            for follower in self._shared.abandon(task, task.promised_sha256):
                self.resume(follower)

    def _let_go(self, task: ImageTask) -> None:
        """Of bytes that were read, and then need not be decoded for it."""
        data, task.data = task.data, None
        if data is not None:
            self._budget.release(len(data))
