"""Every generation is fed, only what serves is heard, and dropping leaves nothing behind."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import (
    Conflict,
    IndexOwned,
    ObjectMissing,
    Part,
    PartUnavailable,
    PermanentError,
)
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.records import ProducerRecord, TopicPartition
from sightline.engine.serving.values import GenerationStage, Serves
from sightline.engine.serving.who_is_told import (
    HANDED_OVER,
    GenerationHealth,
    GenerationMetrics,
    Voice,
)
from sightline.infra.processes import node as node_process
from sightline.infra.processes.generation_workers import GenerationWorkers
from sightline.infra.processes.group_forgetting import GroupForgetting
from sightline.infra.processes.reindex_loop import ReindexLoop
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Lane
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION, INTERACTIONS
from sightline.stream_workers.reindexing.progress import PREFIX, filling_lease_key
from tests.api_parts import picture
from tests.generation_parts import BUCKET, INDEX, Deployment
from tests.indexed_images import NOON
from tests.running_loops import running
from tests.unit.test_serving_record import known, with_ready
from tests.waiting import eventually

G2 = Serves(generation="g2")


def upload(place: Deployment, *image_ids: str) -> None:
    """Publish public pictures, each its own."""
    for image_id in image_ids:
        place.publisher.upload(
            picture(sum(image_id.encode())),
            image_id=image_id,
            version=1,
            visibility=Visibility.PUBLIC,
        )


def teller(place: Deployment, image_id: str) -> set[str]:
    """Which generations told what became of an image."""
    events = [decode(value).data for value in place.told()]
    return {event.generation for event in events if event.image_id == image_id}


def counted(place: Deployment) -> dict[str, float | None]:
    """How many generations the metrics tell of, by stage."""
    sample = place.metrics.registry.get_sample_value
    return {
        stage.value: sample("sightline_generations", {"stage": stage.value})
        for stage in GenerationStage
    }


def test_a_generation_is_filled_beside_the_one_that_serves_and_takes_over() -> None:
    """From the log's start, without a word; after the switch it speaks, and both are fed."""
    place = Deployment()
    upload(place, "a", "b")
    with place.working():
        eventually(lambda: place.listed("g1") == 2)
        place.make_second()
        eventually(lambda: place.listed("g2") == 2)
        eventually(lambda: teller(place, "a") and teller(place, "b"))
        assert teller(place, "a") | teller(place, "b") == {"g1"}
        now = place.clock.now
        assert counted(place) == {"filling": 1, "ready": 1, "retired": 0}
        place.record.change(lambda s: s.made_ready("g2", now(), "proven"))
        place.switch(G2)
        eventually(lambda: place.generations.current() == "g2")
        assert counted(place) == {"filling": 0, "ready": 1, "retired": 1}
        upload(place, "c")
        eventually(lambda: "g2" in teller(place, "c"))
        eventually(lambda: place.listed("g1") == 3)
        place.record.change(lambda s: s.rolled_back(now(), "worse"))
        eventually(lambda: place.generations.current() == "g1")
        upload(place, "d")
        eventually(lambda: "g1" in teller(place, "d"))
    vector = {name: place.generations.open(name).get(["d"], vectors=True) for name in ("g1", "g2")}
    one, other = vector["g1"]["d"].vector, vector["g2"]["d"].vector
    assert one is not None
    assert other is not None
    assert abs(float(one @ other)) < 0.9, "each was embedded by its own model"


def test_a_dropped_generation_is_removed_and_fed_no_longer() -> None:
    """Index, worker and record: nothing of it is left, and the serving one goes on."""
    place = Deployment()
    with place.working():
        place.make_second()
        eventually(lambda: place.serving.fed.of(IMAGES.name) == ["index-g1-live", "index-g2-live"])
        place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()))
        eventually(lambda: place.record.read().state.dropping == ())
        assert place.generations.names() == ["g1"]
        assert place.serving.fed.of(IMAGES.name) == ["index-g1-live"]
        upload(place, "a")
        eventually(lambda: place.listed("g1") == 1)
    assert place.indexes.names() == ["g1"], "held by the pair that serves"


def test_nothing_is_kept_of_how_a_dropped_generation_was_filled() -> None:
    """Progress, lease and matrices go with the index; the record of what serves stays."""
    place = Deployment()
    place.make_second()
    progress, matrix = (f"{PREFIX}{INDEX}/g2/{name}" for name in ("progress.json", "matrix/abc"))
    kept = progress, filling_lease_key(INDEX, "g2"), matrix
    for key in kept:
        place.store.put(BUCKET, key, b"{}", content_type="application/json")
    place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()))
    GenerationWorkers(place.node())._look()
    for key in kept:
        with pytest.raises(ObjectMissing):
            place.store.stat(BUCKET, key)
    assert place.record.read().state.dropping == ()


def test_a_generation_that_was_made_anew_is_not_removed() -> None:
    """Who comes late to a removal finds another generation of that name."""
    place = Deployment()
    place.make_second()
    GenerationWorkers(place.node())._remove("g2")
    assert place.generations.names() == ["g1", "g2"]


def test_a_removal_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the record has not changed since: searches held the index at the look before."""
    place = Deployment()
    place.make_second()
    place.indexes.take("g2")
    place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()))
    workers = GenerationWorkers(place.node())
    workers._look()
    place.indexes.give("g2")
    with monkeypatch.context() as away:
        away.setattr(place.generations, "remove", refuse)
        workers._look()
    assert place.record.read().state.dropping == ("g2",)
    workers._look()
    assert place.record.read().state.dropping == ()
    assert place.generations.names() == ["g1"]


def refuse(name: str) -> None:
    """See `Generations.remove`; the index is away."""
    raise PartUnavailable(Part.INDEX, f"{name}: away")


def test_one_that_cannot_be_opened_keeps_no_other_from_being_fed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It serves nobody: it is told, waited for by nobody, and tried again later."""
    place = Deployment()
    opens = place.generations.open

    def owned(name: str) -> object:
        if name == "g2":
            raise IndexOwned("in use by process 7")
        return opens(name)

    monkeypatch.setattr(place.generations, "open", owned)
    place.make_second()
    with place.working():
        eventually(lambda: "g2 is not fed for now: in use by process 7" in caplog.text)
        eventually(lambda: place.serving.fed.of(IMAGES.name) == ["index-g1-live"])
        upload(place, "a")
        eventually(lambda: place.listed("g1") == 1)


def test_one_that_is_not_fed_comes_into_service_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It lacks what happened since, also where the log forgets nothing of that."""
    place = Deployment()
    opens, down = place.generations.open, threading.Event()

    def owned(name: str) -> object:
        if name == "g2" and down.is_set():
            raise IndexOwned("in use by process 7")
        return opens(name)

    monkeypatch.setattr(place.generations, "open", owned)
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    down.set()
    with place.working():
        eventually(lambda: not place.serving.fed.feeds("index-g2"))
        eventually(lambda: place.record.read().state.behind == ("g2",))


def test_one_that_met_too_many_dead_letters_is_no_way_back() -> None:
    """Its other loop goes on, and nobody reads what happens to images."""
    place = Deployment()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    with place.working():
        for number in range(place.node().settings.worker.dead_letter_limit + 1):
            place.producer.append(ProducerRecord(IMAGES.name, f"bad-{number}", b"junk"))
        eventually(lambda: "worker" in place.health.stopped())
        place.switch(G2)
        eventually(lambda: place.record.read().state.behind == ("g1",))
        assert not place.serving.fed.feeds("index-g1")
        with pytest.raises(Conflict, match="g1 was not fed for a while"):
            place.record.change(lambda s: s.rolled_back(place.clock.now(), "worse"))
    assert "more than 100 dead letters" in place.buried
    with place.working():
        eventually(lambda: place.serving.fed.feeds("index-g1"))
        ReindexLoop(place.node()).look(threading.Event())
        place.record.change(lambda s: s.rolled_back(place.clock.now(), "worse"))


def test_one_that_is_fed_again_has_to_catch_up() -> None:
    """Also where the log forgot nothing."""
    place, stop = Deployment(), threading.Event()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    upload(place, "a", "b")
    place.record.change(lambda s: s.left_behind("g2"))
    with place.working():
        eventually(lambda: place.serving.fed.feeds("index-g2"))
        ReindexLoop(place.node()).look(stop)
        assert place.listed("g2") == 2
    assert place.record.read().state.behind == ()


def test_what_the_log_forgot_unread_is_filled_and_proven_again() -> None:
    """A ready generation that nobody fed for too long gets its events from the one that serves."""
    place, stop = Deployment(), threading.Event()
    upload(place, "a", "b")
    with place.working():
        eventually(lambda: place.listed("g1") == 2)
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    at = TopicPartition(IMAGES.name, 0)
    place.broker.delete_below(at, 2)
    upload(place, "c")
    with place.working():
        eventually(lambda: stage(place, "g2") is GenerationStage.FILLING)
        with pytest.raises(Conflict, match="g2 is being filled"):
            place.switch(G2)
        eventually(lambda: place.serving.fed.feeds("index-g2"))
        ReindexLoop(place.node()).look(stop)
        assert place.listed("g2") == 3
        assert stage(place, "g2") is GenerationStage.READY
    workers = GenerationWorkers(place.node())
    workers._state = place.record.read().state
    workers._begin()
    workers._end(list(workers._feeding.values()))
    assert stage(place, "g2") is GenerationStage.READY, "it was told once"


def test_what_serves_and_did_not_read_all_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """There is nothing better; whoever runs it is told what to do."""
    place = Deployment()
    upload(place, "a", "b")
    place.broker.delete_below(TopicPartition(IMAGES.name, 0), 1)
    with place.working():
        eventually(lambda: place.listed("g1") == 1)
    assert "generation g1 serves, and the log forgot events that it had not read" in caplog.text
    assert "sightline reconcile" in caplog.text
    assert stage(place, "g1") is GenerationStage.READY


def stage(place: Deployment, name: str) -> GenerationStage:
    """How far a generation is."""
    return place.record.read().state.generation(name).stage


def test_what_the_log_forgot_is_read_again_before_it_may_serve() -> None:
    """Only while somebody reads for it here, and from what is remembered."""
    place, stop = Deployment(), threading.Event()
    place.run_id = "this run"
    upload(place, "a", "b")
    place.remembered = list(place.broker.records(IMAGES.name))
    place.broker.partition(TopicPartition(IMAGES.name, 0)).records.clear()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    place.record.change(lambda s: s.left_behind("g2"))
    filling = ReindexLoop(place.node())
    filling.look(stop)
    assert place.record.read().state.behind == ("g2",), "nobody reads for it yet"
    with place.working():
        eventually(lambda: place.serving.fed.feeds("index-g2"))
        filling.look(stop)
        assert place.listed("g2") == 2
        assert place.record.read().state.behind == ()
        place.switch(G2)


def test_the_groups_of_a_dropped_generation_are_deleted() -> None:
    """Once its index is removed, and with it whoever read; what the broker keeps is let be."""
    place = Deployment()
    log = MemoryEventLog(place.broker)
    forgetting = GroupForgetting(place.serving.watched, log)
    with place.working():
        place.make_second()
        eventually(lambda: "index-g2-live" in place.broker.groups)
        place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()))
        forgetting.look()
        eventually(lambda: place.record.read().state.dropping == ())
        assert place.record.read().state.forgetting == ("index-g2",)
        place.broker.group("index-g2-live")
        forgetting.look()
    assert not [name for name in place.broker.groups if name.startswith("index-g2")]
    assert "index-g1-live" in place.broker.groups
    assert place.record.read().state.forgetting == ()


def test_groups_that_another_process_forgot_are_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made a generation of that name since then reads in them."""
    place = Deployment()
    place.remember(60.0)
    place.make_second()
    place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()).removed("g2"))
    assert place.serving.watched.find() is not None
    place.record.change(lambda s: s.forgotten("index-g2"))
    log, asked = MemoryEventLog(place.broker), list[object]()
    monkeypatch.setattr(log, "forget_groups", asked.append)
    GroupForgetting(place.serving.watched, log).look()
    assert not asked


def test_a_broker_that_deletes_no_groups_is_asked_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing but their names is left there. One that is away is asked again."""
    place, failures = Deployment(), [PartUnavailable(Part.BROKER, "away"), PermanentError("never")]
    place.make_second()
    place.record.change(lambda s: s.dropped("g2", place.clock.now(), timedelta()).removed("g2"))
    log = MemoryEventLog(place.broker)

    def refuse(groups: object) -> None:
        del groups
        raise failures.pop(0)

    monkeypatch.setattr(log, "forget_groups", refuse)
    forgetting = GroupForgetting(place.serving.watched, log)
    with pytest.raises(PartUnavailable):
        forgetting.look()
    assert place.record.read().state.forgetting == ("index-g2",)
    with caplog.at_level("INFO"):
        forgetting.look()
    assert "the broker keeps the groups index-g2-*: never" in caplog.text
    assert place.record.read().state.forgetting == ()


def test_what_serves_and_cannot_be_fed_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ever: whoever runs it must know."""
    place = Deployment()
    place.serving.pairs.close()

    def owned(name: str) -> object:
        raise IndexOwned(f"{name} is in use")

    monkeypatch.setattr(place.generations, "open", owned)
    with pytest.raises(IndexOwned, match="g1 is in use"):
        GenerationWorkers(place.node()).run(threading.Event())


def test_who_is_left_tells_of_what_came_before() -> None:
    """The next one may have applied it before it served, and told nobody."""
    state = with_ready()
    old, new = Voice("g-1", state), Voice("g-2", state)
    assert (old.tells(NOON), new.tells(NOON)) == (True, False)
    after = state.switched(Serves(generation="g-2"), NOON, "on")
    old.follow(after)
    new.follow(after)
    assert new.tells(NOON + timedelta(days=1))
    assert old.tells(NOON + HANDED_OVER - timedelta(seconds=1))
    assert not old.tells(NOON + HANDED_OVER)
    assert (old.serves, new.serves) == (False, True)


def test_freshness_is_that_of_what_serves() -> None:
    """What a silent generation measures of itself is nobody's freshness; its work is counted."""
    process = Metrics()
    voice = Voice("g-2", with_ready())
    metrics = GenerationMetrics(process, voice)
    for _ in range(2):
        metrics.freshness.labels(Lane.LIVE).observe(1)
        metrics.embeddings.labels("made").inc()
        voice.follow(with_ready().switched(Serves(generation="g-2"), NOON, "on"))
    sample = process.registry.get_sample_value
    assert sample("sightline_freshness_seconds_count", {"lane": "live"}) == 1
    assert sample("sightline_embeddings_total", {"result": "made"}) == 2


def down(health: Health) -> list[Part]:
    """The parts that were last seen down."""
    return [part.part for part in health.parts() if not part.up]


def test_the_index_of_what_serves_nobody_makes_no_process_unready() -> None:
    """Its broker and its store are everybody's; once it serves, so are its index and model."""
    clock = ManualClock(NOON)
    process, voice = Health(clock), Voice("g-2", with_ready())
    health = GenerationHealth(process, voice, clock)
    health.down(Part.INDEX, "no such collection")
    assert (down(process), health.is_up(Part.INDEX)) == ([], False)
    health.down(Part.STORE, "away")
    assert down(process) == [Part.STORE]
    health.up(Part.STORE)
    voice.follow(with_ready().switched(Serves(generation="g-2"), NOON, "on"))
    health.down(Part.INDEX, "no such collection")
    assert not process.is_up(Part.INDEX)
    assert not health.is_up(Part.INDEX)


def test_the_groups_of_a_topic_are_those_of_its_lane() -> None:
    """Other topics have none: they are not bounded by the index."""
    place = Deployment()
    fed = place.serving.fed
    assert fed.of(IMAGES_BACKFILL.name) == ["index-g1-backfill"]
    assert fed.of(IMAGES_MODERATION.name) == ["index-g1-moderation"]
    assert fed.of(INTERACTIONS.name) == []
    state = place.record.read().state.with_generation(known("g2"), NOON, "made")
    fed.follow(state, away=["g1", "g2"])
    assert fed.of(IMAGES_BACKFILL.name) == ["index-g1-backfill"], "it serves: it must keep up"


def test_every_process_follows_whatever_it_does() -> None:
    """A bridge, or a worker alone, searches nothing and yet looks into the index that serves."""
    place = Deployment()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))

    def bridge(stopped: threading.Event) -> None:
        stopped.wait()

    with running(lambda stop: node_process._run({"bridge": bridge}, stop, place.node())):
        place.switch(G2)
        eventually(lambda: place.indexes.names() == ["g2"])
