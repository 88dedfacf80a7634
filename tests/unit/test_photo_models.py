from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.backbone_ablations import PhotoCrops, PixelSite, features_of, measured
from benchmarks.backbone_without_clicks import Learner, rows
from benchmarks.head_ablations import (
    EVERYWHERE,
    WEIGHTED,
    by_log,
    column,
    graded,
    true_curve,
)
from benchmarks.label_negatives import Negatives, guards
from benchmarks.label_replay import images_of
from benchmarks.photo_clicks import DEFAULT, Clicks
from benchmarks.photo_models import PhotoSite, pairs_by_label, pairs_in, pairs_on_pages
from benchmarks.training import Outcome, in_rounds
from sightline.engine.embedding.networks import Normalised
from sightline.engine.embedding.normalisation import LITE0_INPUT
from sightline.engine.event_log.partitions import partition_of
from sightline.stream_workers.labels.mine.epoch import clicked_by_people
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from tests.drawn_photos import EACH, LABELS, WIDTH, drawn_site

RULES = LabelRules()


@pytest.fixture(scope="module")
def site() -> PhotoSite:
    """Drawn photos, some of them shown."""
    return drawn_site()


@pytest.fixture(scope="module")
def clicks(site: PhotoSite) -> Clicks:
    """What people do on its pages."""
    return site.clicks(DEFAULT, 300, RULES, seed=1)


def test_a_site_shows_its_train_photos(site: PhotoSite, clicks: Clicks) -> None:
    """Of every label but the silent ones; pages and features hold the same."""
    assert len(site.shown().images) == 40
    quiet = site.without(["kind/1"])
    assert set(quiet.shown().labels) == {"kind/0", "kind/2", "kind/3"}
    assert quiet.features().images == tuple(sorted(quiet.shown().images))
    searches = [search for each in clicks.epochs.values() for _, search in each]
    assert {image.image_id for s in searches for image in s.shown} <= set(site.shown().images)
    assert {search.model_digest for search in searches} == {"m1"}


def test_families_are_half_answers_where_the_site_says_so(site: PhotoSite) -> None:
    """Else no photo has one."""
    for families, named in ((False, {""}), (True, {"all"})):
        pictures = replace(site, families=families).catalogue().pictures
        assert {picture.family for picture in pictures} == named


def test_another_model_ranks_other_pages(site: PhotoSite, clicks: Clicks) -> None:
    """And its impressions say so."""
    upside_down = replace(site.start, matrix=np.diag(np.arange(WIDTH)).astype(np.float32))
    ranked = site.ranked_by(upside_down, "m2").clicks(DEFAULT, 300, RULES, seed=1)
    pages = [
        {
            s.anchor_id: [i.image_id for i in s.shown]
            for each in log.epochs.values()
            for _, s in each
        }
        for log in (clicks, ranked)
    ]
    both = pages[0].keys() & pages[1].keys()
    assert any(pages[0][anchor] != pages[1][anchor] for anchor in both)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads of torch wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_labels_teach_what_they_say(site: PhotoSite) -> None:
    """Pairs of one label, never of a photo with itself; a head comes of them."""
    pairs = pairs_by_label(site)
    label = dict(zip(site.photos.images.tolist(), site.photos.labels.tolist(), strict=True))
    named = [label[image] for image in pairs.images]
    assert all(named[a] == named[p] for a, p in zip(pairs.anchor, pairs.positive, strict=True))
    assert (pairs.anchor != pairs.positive).all()
    head = site.trained(pairs, HeadSettings(steps=2, batch=8, corpus=8))
    assert head.change.shape == (WIDTH, WIDTH)


def test_pages_show_the_nearest_photos(site: PhotoSite) -> None:
    """Of those, what is of the photo's own label; the nearest in the served model's vectors."""
    pairs, nearest = pairs_on_pages(site, places=5), pairs_on_pages(site, places=1)
    label = dict(zip(site.photos.images.tolist(), site.photos.labels.tolist(), strict=True))
    named = [label[image] for image in pairs.images]
    assert all(named[a] == named[p] for a, p in zip(pairs.anchor, pairs.positive, strict=True))
    vectors = site.features().features
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for anchor, positive in zip(nearest.anchor, nearest.positive, strict=True):
        order = np.argsort(-(unit @ unit[anchor]))
        assert positive == next(at for at in order if at != anchor)
    assert 0 < len(nearest) <= len(pairs.images) < len(pairs) <= 5 * len(pairs.images)


def test_an_outcome_tells_clicked_labels_from_silent_ones(site: PhotoSite) -> None:
    """Here of a head that drops what is the same in all labels, the more the stronger."""
    drop = np.diag(np.where(np.arange(WIDTH) < WIDTH // 4, 0, -1)).astype(np.float32)
    head = Head.of(site.start.mean, site.start.matrix, drop)
    outcome = Outcome.of(site.without(["kind/1"]), head)
    assert outcome.clicked.tolist() == [label != "kind/1" for label in site.query_labels()]
    assert outcome.gained(1.0).point > outcome.gained(0.35).point > 0.005
    assert outcome.gained(1.0, clicked=False).clusters == 1
    assert outcome.told().count("R@1") == 4


def test_two_logs_are_one_data_set(site: PhotoSite, clicks: Clicks) -> None:
    """With the pairs of both."""
    other = site.clicks(DEFAULT, 100, RULES, seed=2)
    single = [len(pairs_in([log], RULES)) for log in (clicks, other)]
    assert len(pairs_in([clicks, other], RULES)) == sum(single)


@pytest.mark.usefixtures("one_thread")
def test_each_round_is_on_the_pages_of_what_those_before_it_taught(
    site: PhotoSite, clicks: Clicks
) -> None:
    """As many clicks each; only the first round's pages are the shipped model's."""
    quick = replace(site, head=HeadSettings(steps=2, batch=8, corpus=8))
    logs = in_rounds(quick, clicks.first(40), 100, 3)
    digests = [{s.model_digest for each in log.epochs.values() for _, s in each} for log in logs]
    assert digests == [{"m1"}, {"round 2"}, {"round 3"}]
    assert all(log.count >= 40 for log in logs)


@pytest.mark.usefixtures("one_thread")
def test_a_graded_log_is_of_other_clicks(site: PhotoSite) -> None:
    """Where all are of one family people click more of other labels, and that teaches a head."""
    quick = replace(site, head=HeadSettings(steps=2, batch=8, corpus=8))
    label = dict(zip(site.photos.images.tolist(), site.photos.labels.tolist(), strict=True))
    wrong = []
    for families in (False, True):
        log = replace(quick, families=families).clicks(DEFAULT, 300, RULES, seed=1)
        pairs = pairs_in([log], RULES)
        named = np.array([label[image] for image in pairs.images])
        wrong.append((named[pairs.anchor] != named[pairs.positive]).mean())
    assert wrong[1] > 2 * wrong[0]
    assert graded(quick, DEFAULT.name, 100).after.keys() == {0.0, 0.35, 0.6, 1.0}


def test_parts_are_taken_away_one_by_one(site: PhotoSite, clicks: Clicks) -> None:
    """A row for each part, the recipe at every strength; a true curve weighs by patience."""
    quick = replace(site, head=HeadSettings(steps=2, batch=8, corpus=8)).without(["kind/1"])
    made = column(quick, "default", [clicks], DEFAULT)
    assert [*made.rows] == [*EVERYWHERE, WEIGHTED]
    *_, last = by_log([made], {"true labels": made.rows[WEIGHTED]})
    assert last.startswith("| true labels")
    curve = true_curve(DEFAULT)
    assert [curve.weight(place) for place in (1, 3, 24)] == pytest.approx([1, 1 / 0.81, 10])


def painted(site: PhotoSite) -> PixelSite:
    """The same site of squares of 20 pixels, each in a colour of its label, for a tiny network."""
    torch.manual_seed(1)
    layers = torch.nn.Conv2d(3, WIDTH, 5, stride=5), torch.nn.AdaptiveAvgPool2d(1)
    network = Normalised(torch.nn.Sequential(*layers, torch.nn.Flatten()), LITE0_INPUT).eval()
    random = np.random.default_rng(5)
    colour = np.repeat(random.integers(124, 132, (LABELS, 3)), EACH, axis=0)[:, None, None]
    noise = random.integers(-50, 50, (LABELS * EACH, 20, 20, 3))
    squares = (colour + noise).astype(np.uint8)
    small = replace(site, photos=replace(site.photos, features=features_of(network, squares)))
    rows = [small.photos.images.tolist().index(image) for image in small.features().images]
    searched = site.photos.splits != "train"
    crops = PhotoCrops(squares[rows], small.features().hashes)
    return PixelSite(site=small, network=network, squares=squares[searched], crops=crops)


@pytest.mark.usefixtures("one_thread")
def test_pixels_teach_what_is_told_in_each_row(site: PhotoSite, clicks: Clicks) -> None:
    """The head first; no two trainings from it come to the same, and the network stays as it is."""
    quick = replace(site, head=HeadSettings(steps=2, batch=8, corpus=8)).without(["kind/1"])
    pixels = painted(quick)
    pairs = pairs_in([clicks], RULES).among(pixels.site.features().images)
    before = {name: value.clone() for name, value in pixels.network.state_dict().items()}
    settings = BackboneSettings(steps=2, batch=8, corpus=8, chunk=8, learning_rate=0.05)
    lines = list(measured(pixels, pairs, settings))
    assert [line.startswith("| from 0.6 on") for line in lines[2:]] == [*[False] * 4, *[True] * 3]
    assert len({line.split("|")[2] + line.split("|")[3] for line in lines[-3:]}) == 3
    assert all(torch.equal(value, before[n]) for n, value in pixels.network.state_dict().items())


@pytest.mark.usefixtures("one_thread")
def test_pictures_alone_teach_what_is_told_in_each_row(site: PhotoSite) -> None:
    """The start, two trainings that differ, and turned queries are searched by apart."""
    pixels = painted(site)
    settings = BackboneSettings(steps=2, batch=8, corpus=8, chunk=8, learning_rate=0.05)
    lines = [row.told() for row in rows(pixels, settings)]
    assert [line.startswith("| **") for line in lines] == [True, False, False]
    assert len({tuple(line.split("|")[2:7]) for line in lines}) == 3
    learner = Learner.of(pixels)
    queries = pixels.site.photos.splits[pixels.site.photos.splits != "train"] == "query"
    turned = (learner.lying.squares != pixels.squares).any(axis=(1, 2, 3))
    assert np.array_equal(turned, queries)


def test_guards_only_take_away(clicks: Clicks) -> None:
    """All is kept as mined; no guard that builds on another keeps more than it."""
    found = guards(clicks, RULES)
    assert found[0].kept == 1.0
    assert all(0.0 <= each.kept <= 1.0 and 0.0 <= each.right <= 1.0 for each in found)
    never, thrice, often = (each.kept for each in found[1:4])
    assert never >= thrice >= often


def test_a_miner_sees_its_own_anchors(clicks: Clicks) -> None:
    """Within two clicks by the history of one partition, as a slow look at it says."""
    found = Negatives.of(clicks, RULES)
    images = found.pairs.images
    acts = {
        e: images_of(clicked_by_people(s for _, s in each)) for e, each in clicks.epochs.items()
    }

    def near(epoch: int, anchor: str, negative: str) -> bool:
        seen: dict[str, set[str]] = {}
        for past in range(epoch - RULES.history, epoch + 1):
            for other, clicked in acts.get(past, {}).items():
                if partition_of(other, 12) == partition_of(anchor, 12):
                    seen.setdefault(other, set()).update(clicked)
        alike = {other for other, clicked in seen.items() if clicked & seen[anchor]}
        return negative in alike or any(negative in seen[other] for other in alike)

    slow = [
        near(int(epoch), images[anchor], images[negative])
        for epoch, anchor, negative in zip(found.epoch, found.anchor, found.negative, strict=True)
    ]
    assert found.near_to_a_miner(clicks, RULES).tolist() == slow
    assert any(slow)
