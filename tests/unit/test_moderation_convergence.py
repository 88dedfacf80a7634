"""Owners' events and the operator's decisions, in any order and over crashes: both halves hold."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sightline.engine.clock import ManualClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import WorkerSettings
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import ImageChanged, ImageDeleted, ImageState, ImageUploaded
from sightline.schemas.moderation import ImageModerated, decision_tie
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_MODERATION, IMAGES_MODERATION_DLQ
from sightline.stream_workers.image_log.decisions import merge_decisions
from sightline.stream_workers.moderating.loop import ModerationLoop
from tests.worker_parts import MemoryConsumer
from tests.worker_world import METRICS, PICTURES, STEPS, World, fence, public, reference

TOPIC, GROUP = IMAGES_MODERATION.name, "g-moderation"
BLOCKED, ALLOWED = Moderation.BLOCKED, Moderation.ALLOWED
Decision = tuple[str, int, Moderation, str]
Upload = tuple[ImageState, str]
KINDS: list[type[ImageState]] = [ImageUploaded, ImageChanged, ImageDeleted]
UNREAD = ("decide", "decide and crash")


class ModeratedWorld(World):
    """A worker and a moderation loop beside it, on one index."""

    metrics = METRICS

    def start(self) -> None:
        """Begin with new ones on what is left of the world."""
        super().start()
        self.consumer = MemoryConsumer(self.log, GROUP)
        self.loop = ModerationLoop(
            consumer=self.consumer,
            producer=self.log,
            index=self.index,
            settings=WorkerSettings(),
            metrics=self.metrics,
            health=Health(self.clock),
        )
        self.loop.batches.subscribe()

    def decide(self, image_id: str, version: int, moderation: Moderation, event_id: str) -> None:
        """Append a decision."""
        said = ImageModerated(
            image_id=image_id, version=version, moderation=moderation, decided_by="admin"
        )
        event = Event[ImageModerated].of(
            said, event_id=event_id, source="/test", time=self.clock.now()
        )
        self.log.append(ProducerRecord(TOPIC, image_id, event.encode()))

    def step(self, name: str) -> bool:
        """Also a turn of the moderation loop, of two records; perhaps it ends in between."""
        if name not in UNREAD:
            return super().step(name)
        messages = self.consumer.poll(2, 0)
        if messages:
            self.loop.apply(messages)
            if name == "decide":
                self.loop.batches.commit(messages)
            else:
                self.start()
        return bool(messages)

    def run_to_the_end(self) -> None:
        """Until both have nothing left to do."""
        while self.step("decide"):
            pass
        super().run_to_the_end()


@st.composite
def histories(draw: st.DrawFn) -> list[Decision | Upload]:
    """Events and decisions about two images, versions in any order, some twice."""
    items: list[Decision | Upload] = []
    for number in range(draw(st.integers(1, 5))):
        kind: Any = draw(st.sampled_from(KINDS))
        facts: dict[str, Any] = {
            "image_id": draw(st.sampled_from("ab")),
            "version": draw(st.integers(0, 3)),
            "visibility": draw(st.sampled_from(Visibility)),
        }
        if kind is not ImageDeleted:
            facts["object"] = reference(draw(st.sampled_from(PICTURES)))
        items += [(kind(**facts), f"e{number}")] * draw(st.sampled_from([1, 1, 2]))
    for number in range(draw(st.integers(1, 5))):
        decided = (
            draw(st.sampled_from("ab")),
            draw(st.integers(1, 3)),
            draw(st.sampled_from(Moderation)),
            f"d{number}",
        )
        items += [decided] * draw(st.sampled_from([1, 1, 2]))
    return draw(st.permutations(items))


def add(world: ModeratedWorld, item: Decision | Upload) -> None:
    """Append it to its topic."""
    if len(item) == 4:
        world.decide(*item)
    else:
        world.publish(*item)


@settings(max_examples=200)
@given(histories(), st.lists(st.sampled_from([*STEPS, *UNREAD, *UNREAD]), max_size=50))
@example([("a", 1, BLOCKED, "d"), (public("a", 1, b"one"), "e")], ["decide"])
@example([("a", 2, BLOCKED, "d2"), ("a", 1, ALLOWED, "d1")], [])
@example([("a", 1, ALLOWED, "d1"), ("a", 1, BLOCKED, "d2"), ("a", 1, ALLOWED, "d3")], [])
def test_both_halves_end_in_their_highest(
    history: list[Decision | Upload], steps: list[str]
) -> None:
    """Index and compacted topics hold the winners, and what is listed follows from both."""
    world = ModeratedWorld()
    feed = iter(history)
    for step in steps:
        if (step in UNREAD or step.startswith("poll")) and (item := next(feed, None)) is not None:
            add(world, item)
        world.step(step)
    for item in feed:
        add(world, item)
    world.run_to_the_end()
    decisions = [decided(item) for item in history if len(item) == 4]
    wanted = {d.data.image_id: d for d in sorted(decisions, key=order)}
    ids = ["a", "b"]
    assert {i: (d.decision, d.event_id) for i, d in world.index.decisions(ids).items()} == {
        i: (d.data, d.id) for i, d in wanted.items()
    }
    last = {message.key: message for message in world.log.records[TOPIC]}
    assert {i: d.id for i, d in merge_decisions(last.values()).items()} == {
        i: d.id for i, d in wanted.items()
    }
    for image in world.index.scan(vectors=True):
        assert fence(world.compacted()[image.image_id]) == image.fence[:2]
        blocked = image.image_id in wanted and wanted[image.image_id].data.moderation is BLOCKED
        assert image.listed is (image.listed_by_owner and not blocked)


def decided(item: Decision) -> Event[ImageModerated]:
    """The event of a decision."""
    image_id, version, moderation, event_id = item
    said = ImageModerated(
        image_id=image_id, version=version, moderation=moderation, decided_by="admin"
    )
    return Event[ImageModerated].of(
        said, event_id=event_id, source="/test", time=ManualClock().now()
    )


def order(event: Event[ImageModerated]) -> tuple[int, int]:
    """What decides between two decisions about one image."""
    return event.data.version, decision_tie(event.data, event.id)


def test_a_lower_decision_behind_a_block_does_not_outlive_it_in_the_topic() -> None:
    """The winner is appended again before the lower one's offset is committed."""
    world = ModeratedWorld()
    world.decide("a", 2, BLOCKED, "blocks")
    world.decide("a", 1, ALLOWED, "late")
    world.run_to_the_end()
    last = decode(world.log.records[TOPIC][-1].value)
    assert (len(world.log.records[TOPIC]), last.id) == (3, "blocks")
    assert world.index.decisions(["a"])["a"].winner.offset == 2


def test_a_null_behind_a_decision_does_not_make_it_be_forgotten() -> None:
    """Compaction would take it for the last word."""
    world = ModeratedWorld()
    world.decide("a", 1, BLOCKED, "blocks")
    world.log.append(ProducerRecord(TOPIC, "a", None))
    world.run_to_the_end()
    assert decode(world.log.records[TOPIC][-1].value).id == "blocks"


def test_a_null_is_counted_as_no_decision() -> None:
    """It says nothing that a newer decision could have beaten."""

    class Counting(ModeratedWorld):
        metrics = Metrics()

    world = Counting()
    world.decide("a", 2, BLOCKED, "blocks")
    world.log.append(ProducerRecord(TOPIC, "b", None))
    world.step("decide")
    counted = {
        result: world.metrics.decisions.labels(result)._value.get()
        for result in ("applied", "superseded", "dead_lettered")
    }
    assert counted == {"applied": 1, "superseded": 0, "dead_lettered": 0}


def test_what_is_no_decision_is_a_dead_letter_and_costs_nothing_else() -> None:
    """Also an image's event on the wrong topic, and a record under another key."""
    world = ModeratedWorld()
    world.log.append(ProducerRecord(TOPIC, "a", b"no JSON"))
    world.publish(public("b", 1, b"one"), "e")
    world.log.append(ProducerRecord(TOPIC, "b", world.log.records["images.v1"][0].value))
    world.decide("a", 1, BLOCKED, "d")
    world.log.append(ProducerRecord(TOPIC, "other", world.log.records[TOPIC][-1].value))
    world.run_to_the_end()
    assert len(world.log.records[IMAGES_MODERATION_DLQ.name]) == 3
    assert set(world.index.decisions(["a", "b", "other"])) == {"a"}
