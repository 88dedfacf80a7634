"""What only the embedded engine has: an owner, a background optimiser, a disk that fills up."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import qdrant_edge as edge
from numpy.typing import NDArray

from sightline.engine.errors import DiskFull, IndexOwned, NotFound, Part, PartUnavailable
from sightline.engine.records import (
    GenerationSpec,
    IndexedDecision,
    IndexedImage,
    Likeness,
    WinnerLocation,
)
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge import cluster_names, clusters, live_shard
from sightline.engine.vector_index.edge import index as edge_index
from sightline.engine.vector_index.edge.directory import OwnedDirectory, read_current
from sightline.engine.vector_index.edge.index import EdgeGenerations, EdgeVectorIndex
from sightline.engine.vector_index.edge.live_shard import EdgeStore
from sightline.engine.vector_index.edge.optimiser import Optimiser
from sightline.engine.vector_index.payload import SEARCHABLE
from sightline.schemas.fields import Moderation
from tests.indexed_images import (
    SPEC,
    Kind,
    decision,
    image,
    query,
    same_image,
    unit_vector,
)
from tests.patience import patient
from tests.waiting import eventually

DIMENSIONS = 256
PAUSE_S, LONG_PAUSE_S = 0.03, 0.3
"""Of who writes and who searches: without one they starve the optimiser that they wait for. Once
they have done so much, they only keep going: its child is the last to get a busy core."""
MEANWHILE = 200
SETTINGS = IndexSettings(optimise_after=1_500)
WIDE = GenerationSpec(
    name="wide", model_digest="model-1", preprocess_digest="prep-1", dimensions=DIMENSIONS
)


def wide_vector(seed: int) -> NDArray[np.float32]:
    """A unit vector near one of fifty centres."""
    mixed = unit_vector(seed % 50, DIMENSIONS) + 0.7 * unit_vector(1_000 + seed, DIMENSIONS)
    return np.asarray(mixed / np.linalg.norm(mixed), dtype=np.float32)


def wide_image(number: int, version: int = 1, kind: Kind = Kind.PUBLIC) -> IndexedImage:
    """Image `number`, its vector a function of number and version."""
    vector = wide_vector(number + 10_000 * (version - 1))
    return image(f"i{number:05}", version, kind, vector=vector)


def apply_all(index: EdgeVectorIndex, images: list[IndexedImage]) -> None:
    """In calls of fifty, as a worker would."""
    for start in range(0, len(images), 50):
        index.apply(images[start : start + 50])


def page(index: EdgeVectorIndex, seed: int) -> list[tuple[str, float]]:
    """One page, ids and scores."""
    hits = index.search(query(wide_vector(500_000 + seed), limit=24))
    return [(hit.image.image_id, hit.score) for hit in hits]


def recall(index: EdgeVectorIndex, queries: int = 40) -> float:
    """Share of the exact 24 that the graph finds."""
    found = 0
    for seed in range(queries):
        wanted = wide_vector(500_000 + seed)
        exact = {hit.image.image_id for hit in index.search(query(wanted, exact=True))}
        found += len(exact & {hit.image.image_id for hit in index.search(query(wanted))})
    return found / (24 * queries)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[EdgeVectorIndex]:
    """An empty index that optimises itself after 1,500 vectors."""
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, SETTINGS)) as opened:
        yield opened


def test_a_directory_has_one_owner(tmp_path: Path) -> None:
    """A second owner is refused, in this process or another, until the first lets go."""
    index = EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)
    with pytest.raises(IndexOwned, match="in use by process"):
        EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)
    elsewhere = subprocess.run(
        [sys.executable, "-c", _OPEN.format(path=str(tmp_path / SPEC.name))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "IndexOwned" in elsewhere.stderr
    index.close()
    EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS).close()


_OPEN = """
from pathlib import Path
from sightline.engine.vector_index.edge.directory import OwnedDirectory
OwnedDirectory(Path({path!r}), reserve_bytes=1)
"""


def test_the_index_optimises_itself_while_it_is_written_and_read(index: EdgeVectorIndex) -> None:
    """Nothing written meanwhile is lost, nothing hidden meanwhile is shown, order is exact."""
    apply_all(index, [wide_image(n) for n in range(1_600)])
    live = read_current(_generation(index))
    stop = threading.Event()
    shown_after_hidden: list[str] = []
    hidden: list[str] = []

    def pause_s() -> float:
        return PAUSE_S if len(hidden) < MEANWHILE else LONG_PAUSE_S

    def read() -> None:
        while not stop.wait(pause_s()):
            known = set(hidden)
            for seed in range(3):
                shown_after_hidden.extend(name for name, _ in page(index, seed) if name in known)

    reader = threading.Thread(target=read)
    reader.start()
    number = 0
    deadline = time.monotonic() + patient(150)
    while read_current(_generation(index)) == live or number < MEANWHILE:
        time.sleep(pause_s())
        index.apply([wide_image(number % 1_000, 2, Kind.PRIVATE), wide_image(40_000 + number)])
        index.flush()
        hidden.append(f"i{number % 1_000:05}")
        number += 1
        assert time.monotonic() < deadline, "the optimiser never replaced the shard"
    stop.set()
    reader.join()
    assert index.wait_optimised(100)
    assert shown_after_hidden == []
    assert index.count() == 1_600 + number
    assert index.count(listed_only=True) == 1_600 + number - min(number, 1_000)
    stored = {i.image_id: i for i in index.scan(vectors=True)}
    assert same_image(stored["i00000"], wide_image(0, 2, Kind.PRIVATE))
    assert same_image(stored[f"i{40_000 + number - 1:05}"], wide_image(40_000 + number - 1))
    assert recall(index) >= 0.99


def _generation(index: EdgeVectorIndex) -> Path:
    return index._store._directory.path


def test_an_index_of_an_earlier_release_shows_what_it_showed(tmp_path: Path) -> None:
    """Its points do not say what owner and operator come to; opened once, they do."""
    names = ("public", "blocked", "allowed")
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        index.apply([image("private", kind=Kind.PRIVATE), *map(image, names)])
        index.moderate([decision("blocked"), decision("allowed", 1, Moderation.ALLOWED)])
        generation = _generation(index)
    _forget_what_is_shown(generation / (read_current(generation) or ""))
    for _ in range(2):
        with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
            found = index.search(query(unit_vector(1), limit=9))
            assert {hit.image.image_id for hit in found} == {"public", "allowed"}
            assert index.count(listed_only=True) == 2


def test_a_search_runs_in_the_thread_that_asks(tmp_path: Path) -> None:
    """In an index of an earlier release too, whose shard says that it searches in several."""
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        index.apply([image("i")])
        generation = _generation(index)
    shard = generation / (read_current(generation) or "")
    vectors = edge.EdgeVectorParams(size=SPEC.dimensions, distance=edge.Distance.Cosine)
    edge.EdgeShard.load(str(shard), edge.EdgeConfig(vectors, max_search_threads=2)).close()
    assert _configured(shard)["max_search_threads"] == 2
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        assert [hit.image.image_id for hit in index.search(query(unit_vector(1), limit=9))] == ["i"]
    assert _configured(shard)["max_search_threads"] == 1


def _configured(shard: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((shard / "edge_config.json").read_text(encoding="utf-8"))
    return read


def _forget_what_is_shown(path: Path) -> None:
    shard = edge.EdgeShard.load(str(path))
    everything = edge.Filter(must_not=[edge.IsEmptyCondition("image_id")])
    for operation in (
        edge.UpdateOperation.delete_payload_by_filter(everything, [SEARCHABLE]),
        edge.UpdateOperation.delete_field_index(SEARCHABLE),
    ):
        shard.update(operation)
    shard.flush()
    shard.close()


def test_clusters_of_before_are_known_after_a_restart(tmp_path: Path) -> None:
    """Those of a hidden image, too, since it may be listed at any time; and those written since."""
    vector, names = unit_vector(7), [f"{n:064x}" for n in (1, 2**255)]
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        index.apply([replace(image("old", kind=Kind.PRIVATE, vector=vector), cluster=names[0])])
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        index.apply([replace(image("new", vector=vector), cluster=names[1])])
        asked = [Likeness(vector, name) for name in (*names, "f" * 64)]
        assert index.clusters_near(asked, bits=0, limit=3) == [(names[1],), (names[1],), ()]
        index.apply([replace(image("old", version=2, vector=vector), cluster=names[0])])
        found = index.clusters_near(asked, bits=0, limit=3)
    assert [sorted(each) for each in found] == [names, names, []]


def test_with_very_many_clusters_each_picture_is_searched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they are hashes or names of flat pictures, of which no hash tells anything."""
    for module in (clusters, cluster_names):
        monkeypatch.setattr(module, "MOST", 3)
    vector = unit_vector(7)
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
        index.apply([replace(image(f"i{n}"), cluster=f"flat-{n}") for n in range(3)])
        index.apply([replace(image("near", vector=vector), cluster="0" * 63 + "1")])
        assert index.clusters_near([Likeness(vector, "f" * 64)], bits=0, limit=1) == [
            ("0" * 63 + "1",)
        ]


def test_order_is_the_same_after_a_restart_of_an_optimised_index(tmp_path: Path) -> None:
    """Through the graph and the quantised vectors too (docs/adr/0007)."""
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, SETTINGS)) as index:
        apply_all(index, [wide_image(n) for n in range(2_000)])
        assert index.wait_optimised(60)
        assert index.unindexed() < 1_500
        pages = [page(index, seed) for seed in range(50)]
        assert [page(index, seed) for seed in range(50)] == pages
    for _ in range(2):
        with closing(EdgeVectorIndex.open(tmp_path, WIDE, SETTINGS)) as again:
            assert again.wait_optimised(60)
            assert [page(again, seed) for seed in range(50)] == pages


def test_closing_while_it_optimises_stops_the_child_and_keeps_everything(tmp_path: Path) -> None:
    """The live shard goes on as it was; the half-made copy is removed at the next start."""
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, SETTINGS)) as index:
        apply_all(index, [wide_image(n) for n in range(2_500)])
    patient = IndexSettings(optimise_after=1_000_000)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, patient)) as again:
        assert again.count(listed_only=True) == 2_500
    assert len(list((tmp_path / WIDE.name).glob("shard-*"))) == 1


def test_a_failing_optimiser_leaves_the_index_as_it_was(tmp_path: Path) -> None:
    """Written, searched and durable as before; the copy is gone."""

    def fail(_: Path) -> None:
        raise PartUnavailable(Part.INDEX, "the child was killed")

    settings = IndexSettings(optimise_after=1_000_000)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as index:
        apply_all(index, [wide_image(n) for n in range(100)])
        with pytest.raises(PartUnavailable, match="child was killed"):
            index._store.replace_by(fail)
        index.apply([wide_image(100)])
        assert index.count() == 101
        assert len(list((tmp_path / WIDE.name).glob("shard-*"))) == 1


def test_a_replacement_that_fails_at_the_last_replay_is_closed(tmp_path: Path) -> None:
    """The half-caught-up copy is not left open: its files are removed, and so is their memory."""
    settings = IndexSettings(optimise_after=1_000_000)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as index:
        apply_all(index, [wide_image(n) for n in range(100)])
        index.flush()
        live = read_current(_generation(index))
        copies: list[Path] = []

        def fail(*_: object) -> None:
            assert str(copies[0]) in Path("/proc/self/maps").read_text(), "it was never open"
            raise PartUnavailable(Part.INDEX, "the live shard did not answer")

        index._store._replay = fail  # type: ignore[method-assign, assignment]
        with pytest.raises(PartUnavailable, match="did not answer") as caught:
            index._store.replace_by(copies.append)
        assert str(copies[0]) not in Path("/proc/self/maps").read_text(), "only its error holds it"
        del caught
        assert read_current(_generation(index)) == live
        index.apply([wide_image(100)])
        assert index.count() == 101


def test_a_checkpoint_lets_no_write_in_and_is_made_up_for_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flush` checkpoints between two writes, and the next one does where this one could not."""
    monkeypatch.setattr(live_shard, "_CHECKPOINT_POINTS", 10)
    settings = IndexSettings(optimise_after=1_000_000)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as index:
        store, live = index._store, index._store._live
        assert live is not None
        tried: list[bool] = []

        def checkpoint() -> None:
            tried.append(store._writing.locked())
            if len(tried) == 1:
                raise PartUnavailable(Part.INDEX, "flush failed")

        monkeypatch.setattr(live, "checkpoint", checkpoint)
        apply_all(index, [wide_image(n) for n in range(9)])
        index.flush()
        assert tried == []
        index.apply([wide_image(9)])
        with pytest.raises(PartUnavailable):
            index.flush()
        index.flush()
        index.flush()
        assert tried == [True, True]


def test_flushes_beside_writers_and_a_close_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No deadlock of the locks; what was flushed before the close is there after it."""
    monkeypatch.setattr(live_shard, "_CHECKPOINT_POINTS", 10)
    settings = IndexSettings(optimise_after=1_000_000)
    index = EdgeVectorIndex.open(tmp_path, WIDE, settings)
    durable: list[str] = []

    def write(first: int) -> None:
        for number in range(first, 10_000, 4):
            try:
                index.apply([wide_image(number)])
                index.flush()
            except PartUnavailable as error:
                assert "closed" in str(error)  # noqa: PT017  the one way to end
                return
            durable.append(f"i{number:05}")

    writers = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for writer in writers:
        writer.start()
    eventually(lambda: len(durable) >= 60, timeout_s=60)
    index.close()
    for writer in writers:
        writer.join(patient(60))
    assert not any(writer.is_alive() for writer in writers)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as again:
        assert set(durable) <= {i.image_id for i in again.scan()}


def test_a_replaced_shard_holds_what_was_written_during_the_copy(tmp_path: Path) -> None:
    """Upserts, relocations and purges made between copy and swap are replayed."""
    settings = IndexSettings(optimise_after=1_000_000)
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as index:
        apply_all(index, [wide_image(n) for n in range(50)])
        index.apply([image("dead", kind=Kind.DELETED)])

        def write_meanwhile(_: Path) -> None:
            index.apply([wide_image(7, 2, Kind.REJECTED), wide_image(90)])
            index.purge(["dead"])

        before = read_current(_generation(index))
        index._store.replace_by(write_meanwhile)
        assert read_current(_generation(index)) != before
        stored = {i.image_id: i for i in index.scan(vectors=True)}
        assert "dead" not in stored
        assert same_image(stored["i00007"], wide_image(7, 2, Kind.REJECTED))
        assert same_image(stored["i00090"], wide_image(90))
    with closing(EdgeVectorIndex.open(tmp_path, WIDE, settings)) as again:
        assert {i.image_id for i in again.scan()} == set(stored)


def test_what_was_flushed_survives_where_only_the_log_reached_the_disk(tmp_path: Path) -> None:
    """As after a power cut: segments as old as the last checkpoint, the log as `flush` left it."""
    index = EdgeVectorIndex.open(tmp_path / "live", WIDE, SETTINGS)
    index.apply([wide_image(n) for n in range(30)])
    shard = _generation(index) / (read_current(_generation(index)) or "")
    index._store._live.checkpoint()  # type: ignore[union-attr]
    shutil.copytree(tmp_path / "live", tmp_path / "cut")
    index.apply([wide_image(n, 2, Kind.PRIVATE) for n in range(20, 50)])
    index.apply([image("dead", kind=Kind.DELETED)])
    index.purge(["dead"])
    index.relocate([image("i00001", winner=WinnerLocation("images.v1", 5, 5))])
    index.flush()
    log = tmp_path / "cut" / shard.relative_to(tmp_path / "live") / "wal"
    shutil.rmtree(log)
    shutil.copytree(shard / "wal", log)
    wanted = {i.image_id: i for i in index.scan(vectors=True)}
    index.close()
    with closing(EdgeVectorIndex.open(tmp_path / "cut", WIDE, SETTINGS)) as again:
        stored = {i.image_id: i for i in again.scan(vectors=True)}
        assert set(stored) == set(wanted)
        assert all(same_image(stored[name], wanted[name]) for name in wanted)
        assert again.count(listed_only=True) == 20


def test_a_full_disk_stops_the_index_with_a_remedy(tmp_path: Path) -> None:
    """At start and at the first write: before the engine's memory maps die of it."""
    full = IndexSettings(reserve_bytes=2**62)
    with pytest.raises(DiskFull, match="free some space"):
        EdgeVectorIndex.open(tmp_path / "new", SPEC, full)
    EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS).close()
    with pytest.raises(DiskFull, match="MiB needed"):
        EdgeVectorIndex.open(tmp_path, SPEC, full)
    owned = OwnedDirectory(tmp_path / SPEC.name, reserve_bytes=1)
    live = owned.live()
    assert live is not None
    store = EdgeStore(owned, live, SPEC)
    owned._reserve_bytes = 2**62
    with closing(EdgeVectorIndex(store, SPEC, optimise_after=10)) as index:
        with pytest.raises(DiskFull):
            index.apply([image("i")])
        assert index.count() == 0
        owned._reserve_bytes = 1


class _Overtaken(EdgeStore):
    """A store to whose next write another writer comes first."""

    before: Callable[[], None] | None = None

    def write(self, operation: edge.UpdateOperation, points: Collection[str]) -> None:
        """Let the other one write, then do it."""
        before, self.before = self.before, None
        if before is not None:
            before()
        super().write(operation, points)


@pytest.mark.parametrize(
    ("other", "version", "listed"),
    [(image("i", 1), 2, 1), (image("i", 3), 3, 1), (decision("i"), 2, 0)],
    ids=["an older image", "a newer image", "a block"],
)
def test_an_image_that_another_writer_inserts_first_is_fenced(
    tmp_path: Path, other: IndexedImage | IndexedDecision, version: int, listed: int
) -> None:
    """It was not there when it was looked for, and is there when it is written."""
    EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS).close()
    owned = OwnedDirectory(tmp_path / SPEC.name, reserve_bytes=1)
    store = _Overtaken(owned, owned.live() or tmp_path, SPEC)
    with closing(EdgeVectorIndex(store, SPEC, optimise_after=10)) as index:
        if isinstance(other, IndexedImage):
            store.before = partial(index.apply, [other])
        else:
            store.before = partial(index.moderate, [other])
        index.apply([image("i", 2)])
        assert index.get(["i"])["i"].version == version
        assert index.count(listed_only=True) == listed


def test_damaged_files_are_said_to_be_unavailable(tmp_path: Path) -> None:
    """A shard that cannot be loaded is reported, and the directory let go."""
    EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS).close()
    shard = tmp_path / SPEC.name / (read_current(tmp_path / SPEC.name) or "")
    (shard / "edge_config.json").write_text("not json")
    for _ in range(2):
        with pytest.raises(PartUnavailable, match="open failed"):
            EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)


def test_an_unfinished_generation_is_not_opened(tmp_path: Path) -> None:
    """Created half, as by a kill: `open` says so, `create` finishes it."""
    generations = EdgeGenerations(tmp_path, SETTINGS)
    generations.create(SPEC)
    (tmp_path / SPEC.name / "current").unlink()
    with pytest.raises(NotFound, match="never finished"):
        generations.open(SPEC.name)
    generations.create(SPEC)
    generations.open(SPEC.name).close()


def test_an_open_generation_cannot_be_removed(tmp_path: Path) -> None:
    """Its owner goes first."""
    generations = EdgeGenerations(tmp_path, SETTINGS)
    generations.create(SPEC)
    with closing(generations.open(SPEC.name)), pytest.raises(IndexOwned):
        generations.remove(SPEC.name)
    generations.remove(SPEC.name)
    assert generations.names() == []


def test_an_idle_optimiser_stops_at_once(tmp_path: Path) -> None:
    """Stopping twice is fine."""
    owned_index = EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)
    optimiser = Optimiser(owned_index._store, optimise_after=10)
    assert optimiser.wait_idle(5)
    optimiser.stop()
    optimiser.stop()
    owned_index.close()


@pytest.mark.parametrize("doing", ["remove", "switch", "create", "open", "spec"])
def test_a_disk_that_refuses_is_a_part_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, doing: str
) -> None:
    """Whoever follows the generations goes on by such errors, and would end by any other."""
    generations = EdgeGenerations(tmp_path, SETTINGS)
    generations.create(WIDE)

    def refuse(*args: object, **more: object) -> object:
        raise OSError(errno.EIO, f"{args} {more}")

    for module, name in (
        (shutil, "rmtree"),
        (edge_index, "write_current"),
        (edge_index, "make_private_folders"),
        (edge_index, "OwnedDirectory"),
        (edge_index, "read_json"),
    ):
        monkeypatch.setattr(module, name, refuse)
    if doing != "spec":
        monkeypatch.setattr(generations, "spec", lambda _: WIDE)
    with pytest.raises(PartUnavailable, match="generation wide"):
        getattr(generations, doing)(WIDE if doing == "create" else "wide")
