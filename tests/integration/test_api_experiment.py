"""Searches during an experiment: each by its arm, and pages of both rankings that tell whose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.metrics import Metrics
from sightline.engine.search_ids import SearchIds
from sightline.engine.serving.values import Experiment
from sightline.engine.serving.variants import Arm, arm_of, variant_of
from sightline.engine.settings import ApiSettings
from sightline.schemas.fields import Visibility
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown, Team
from sightline.schemas.topics import INTERACTIONS
from sightline.search_api.app import create_app
from tests.api_parts import KEYS, SECRET, client_of, picture
from tests.generation_parts import Deployment
from tests.integration.test_api_switch import G2, IMAGES, filled, scores_of
from tests.unit.test_team_draft import drawn, ranked

GENERATION = {Arm.CONTROL: "g1", Arm.TREATMENT: "g2", Arm.INTERLEAVED: "g1"}
TEAMS = {Team.CONTROL: "g1", Team.TREATMENT: "g2"}
Scenario = Callable[[httpx.AsyncClient], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def place() -> Iterator[Deployment]:
    """Two generations, both ready; the first one serves."""
    place = Deployment()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    yield place
    place.serving.pairs.close()


def run(
    place: Deployment,
    folder: Path,
    experiment: Experiment,
    scenario: Scenario,
    *,
    metrics: Metrics | None = None,
) -> list[tuple[dict[str, Any], ResultsShown]]:
    """Each answer during the experiment, with the impression that tells of it."""
    world = filled(place, folder)
    now = place.clock.now()
    place.record.change(lambda state: state.experiment_started(experiment, now, "a/b"))
    place.follower().look()

    async def main() -> list[dict[str, Any]]:
        deps = replace(
            world.dependencies(ApiSettings()),
            pairs=place.serving.pairs,
            metrics=metrics or world.metrics,
        )
        async with client_of(create_app(deps)) as client:
            return await scenario(client)

    answers = asyncio.run(main())
    events = [decode(message.value).data for message in world.log.records[INTERACTIONS.name]]
    shown = {each.search_id: each for each in events if isinstance(each, ResultsShown)}
    return [(answer, shown[answer["search_id"]]) for answer in answers]


def experiment_of(place: Deployment, **facts: Any) -> Experiment:
    """Half of the actors get the second generation."""
    given = {"name": "may", "treatment": G2, "share": 0.5, "salt": "may.1"}
    return Experiment(**given, started_at=place.clock.now(), **facts)


async def ask(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Search by the first image, look-alikes and all."""
    body = {"image_id": "image-0", "near_duplicates": "keep", "limit": 4, **fields}
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_actor_is_answered_by_its_arm(place: Deployment, tmp_path: Path) -> None:
    """Generation, search id and impression agree; who names nobody is in no arm."""
    experiment = experiment_of(place)

    async def scenario(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        named = [await ask(client, session_id=f"s-{n}") for n in range(12)]
        made = await ask(client)
        again = await ask(client, session_id=made["session_id"])
        return [*named, made, again]

    *named, (made, outside), (_, again) = run(place, tmp_path, experiment, scenario)
    arms = set()
    for answer, shown in named:
        arm = arm_of(experiment, shown.actor_id)
        arms.add(arm)
        assert answer["generation"] == shown.generation == GENERATION[arm]
        assert shown.variant == variant_of("may", arm)
        assert SearchIds(SECRET).read(shown.search_id).variant == shown.variant
        assert all(image.team is None for image in shown.shown)
    assert arms == {Arm.CONTROL, Arm.TREATMENT}
    assert (made["generation"], outside.variant) == ("g1", "default")
    assert again.variant == variant_of("may", arm_of(experiment, again.actor_id))


def test_a_page_of_both_tells_whose_each_result_is(place: Deployment, tmp_path: Path) -> None:
    """By image and by upload: full pages, nothing twice, each result's score its own model's.

    Who chooses first in a round, the coins of the search's id say.
    """
    experiment = experiment_of(place).model_copy(update={"share": 1.0, "interleave": True})

    async def scenario(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        answers = [await ask(client, session_id=f"s-{n}") for n in range(8)]
        files = {"image": ("p.jpg", picture(IMAGES["image-0"]), "image/jpeg")}
        data = {"near_duplicates": "keep", "session_id": "s-1", "limit": "5"}
        uploaded = await client.post("/v1/search", files=files, data=data)
        assert uploaded.status_code == 200, uploaded.text
        return [*answers, uploaded.json()]

    told = run(place, tmp_path, experiment, scenario)
    scores = scores_of(place)
    full = ranked(*range(9))
    for answer, shown in told:
        assert (shown.variant, shown.generation) == ("may.interleaved", "g1")
        assert len({image.image_id for image in shown.shown}) == len(shown.shown) >= 4
        teams = [image.team for image in shown.shown]
        assert tuple(teams) == drawn(full, full, len(teams), shown.search_id).teams
        for image in shown.shown:
            assert image.team is not None
            known = scores[TEAMS[image.team]]["image-0", image.image_id]
            assert image.score == pytest.approx(known, abs=1e-4)
        assert [hit["image_id"] for hit in answer["results"]] == [
            image.image_id for image in shown.shown
        ]
        assert "team" not in answer["results"][0]


def test_a_query_that_the_other_index_lacks_is_answered_by_one(
    place: Deployment, tmp_path: Path
) -> None:
    """It was hidden there a moment before: nobody gets the credit, and no search fails."""
    experiment = experiment_of(place).model_copy(update={"share": 1.0, "interleave": True})

    async def scenario(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        with place.serving.pairs.taken("s-1") as pair:
            assert pair.beside is not None
            index = pair.beside.index
            known = index.get(["image-0"], vectors=True)["image-0"]
            changes = {"visibility": Visibility.PRIVATE, "version": 2}
            index.apply([replace(known, state=known.state.model_copy(update=changes))])
        return [await ask(client, session_id="s-1")]

    ((_, shown),) = run(place, tmp_path, experiment, scenario)
    assert [image.team for image in shown.shown] == [None] * 4


@pytest.mark.parametrize("interleave", [True, False])
def test_scores_of_two_models_are_nobodys_distribution(
    place: Deployment, tmp_path: Path, *, interleave: bool
) -> None:
    """A page that both filled says nothing of either one's scores."""
    metrics = Metrics()
    experiment = experiment_of(place, interleave=interleave).model_copy(update={"share": 1.0})

    async def scenario(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        return [await ask(client, session_id="somebody")]

    ((answer, _),) = run(place, tmp_path, experiment, scenario, metrics=metrics)
    labels = {"by": "image", "place": "first", "model": answer["model"]}
    told = metrics.registry.get_sample_value("sightline_search_score_count", labels)
    assert told == (None if interleave else 1)


def test_both_rankings_are_shown_side_by_side_and_recorded_nowhere(
    place: Deployment, tmp_path: Path
) -> None:
    """What each arm would answer, whoever asks; without an experiment there is no such thing."""
    told: list[dict[str, Any]] = []
    question = {"image_id": "image-0", "near_duplicates": "keep", "limit": 4}

    async def scenario(client: httpx.AsyncClient) -> list[dict[str, Any]]:
        answer = await client.post("/v1/models/rankings", json=question)
        told.append(answer.json())
        return []

    assert run(place, tmp_path, experiment_of(place), scenario) == []
    (found,) = told
    assert found["experiment"] == "may"
    arms = {each["arm"]: each for each in found["rankings"]}
    assert {arm: each["generation"] for arm, each in arms.items()} == {
        "control": "g1",
        "treatment": "g2",
    }
    assert all(len(each["results"]) == 4 for each in arms.values())
    control, treatment = ([one["score"] for one in arms[a]["results"]] for a in arms)
    assert control != treatment


def test_without_an_experiment_there_is_one_ranking(place: Deployment, tmp_path: Path) -> None:
    """The refusal says what starts one; and only admins may ask."""
    world = filled(place, tmp_path)
    deps = replace(world.dependencies(ApiSettings(keys=KEYS)), pairs=place.serving.pairs)

    async def main(key: str) -> int:
        async with client_of(create_app(deps), key=key) as client:
            answer = await client.post("/v1/models/rankings", json={"image_id": "image-0"})
            return answer.status_code

    assert asyncio.run(main("admin")) == 404
    assert asyncio.run(main("searcher")) == 403
