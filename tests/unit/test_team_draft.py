"""Two rankings on one page: fair, whole, and without look-alikes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.schemas.searches import Team
from sightline.search_api.search.rerank import RankedPage, duplicate_policies
from sightline.search_api.search.team_draft import interleaved
from tests.unit.test_rerank import hit, spread

BITS = 40


def ranked(*numbers: int, score: float = 0.5) -> RankedPage:
    """A page of unlike pictures; the same number is the same image."""
    hits = tuple(hit(f"i-{number}", number, 2**number, score) for number in numbers)
    return RankedPage(hits=hits, removed={})


def drawn(
    control: RankedPage, treatment: RankedPage, limit: int = 6, search_id: str = "s"
) -> RankedPage:
    """The page of both, without rules on look-alikes."""
    return interleaved(control, treatment, limit=limit, search_id=search_id, policies=[])


def ids(page: RankedPage, team: Team | None = None) -> list[str]:
    """What a page shows; given a team, of its results alone."""
    names = [each.image.image_id for each in page.hits]
    return [n for n, t in zip(names, page.teams, strict=True) if team is None or t is team]


@given(
    st.permutations(range(12)), st.permutations(range(12)), st.integers(1, 12), st.integers(0, 99)
)
def test_each_ranking_puts_its_best_that_is_not_there(
    one: list[int], other: list[int], limit: int, seed: int
) -> None:
    """The page is full, nothing twice, fair after each round, and each side's are in its order."""
    page = drawn(ranked(*one), ranked(*other), limit, f"s-{seed}")
    shown = ids(page)
    assert len(shown) == len(set(shown)) == limit
    for length in range(0, limit + 1, 2):
        teams = page.teams[:length]
        assert teams.count(Team.CONTROL) == teams.count(Team.TREATMENT) == length / 2
    for team, ranking in ((Team.CONTROL, one), (Team.TREATMENT, other)):
        places = [ranking.index(int(name[2:])) for name in ids(page, team)]
        assert places == sorted(places)


def test_the_same_search_has_the_same_page() -> None:
    """The coins come of the search id, and of nothing else."""
    one, other = ranked(*range(12)), ranked(*range(11, -1, -1))
    assert drawn(one, other) == drawn(one, other)
    pages = {tuple(ids(drawn(one, other, search_id=f"s-{n}"))) for n in range(20)}
    assert len(pages) > 4


def test_equal_rankings_win_equally_often() -> None:
    """Somebody who clicks the first place alone votes for either side by a fair coin."""
    page = ranked(*range(12))
    firsts = [drawn(page, page, search_id=f"s-{n}").teams[0] for n in range(2_000)]
    assert abs(firsts.count(Team.TREATMENT) - 1_000) < 4 * 500**0.5


def test_a_relevant_result_that_only_one_ranking_has_is_its_vote() -> None:
    """Whoever looks for 99 clicks for the treatment, whatever the coins say."""
    one, other = ranked(*range(12)), ranked(99, *range(12))
    for n in range(50):
        page = drawn(one, other, search_id=f"s-{n}")
        assert "i-99" in ids(page, Team.TREATMENT)


def test_look_alikes_of_the_other_rankings_results_are_left_out() -> None:
    """The rules on look-alikes hold for the whole page, and what they take out is counted."""
    one = [hit(f"a-{n}", n, spread(n)) for n in range(1, 9)]
    other = [hit(f"b-{n}", 100 + n, spread(n) ^ 0b111) for n in range(1, 9)]
    page = interleaved(
        RankedPage(hits=tuple(one), removed={"duplicate": 2}),
        RankedPage(hits=tuple(other), removed={"duplicate": 1, "near_duplicate": 1}),
        limit=8,
        search_id="s",
        policies=duplicate_policies(bits=BITS, anchor=None),
    )
    assert len({name[2:] for name in ids(page)}) == len(page.hits) == 8
    assert page.removed["duplicate"] == 2
    assert page.removed["near_duplicate"] > 1


@pytest.mark.parametrize("swapped", [False, True])
def test_what_only_one_ranking_had_left_is_nobodys(*, swapped: bool) -> None:
    """A side that could show nothing more must not lose by it."""
    few, many = ranked(1, 2), ranked(*range(10, 20))
    page = drawn(many, few, 8) if swapped else drawn(few, many, 8)
    assert len(page.hits) == 8
    assert page.teams.count(None) >= 3
    assert abs(page.teams.count(Team.CONTROL) - page.teams.count(Team.TREATMENT)) <= 1


def test_nothing_found_is_an_empty_page() -> None:
    """Neither ranking has anything."""
    assert drawn(ranked(), ranked()) == RankedPage(hits=(), removed={}, teams=())


def test_the_scores_stay_those_of_their_ranking() -> None:
    """They are shown as they are, and cannot be compared between teams."""
    page = drawn(ranked(1, 2, 3, score=0.9), ranked(4, 5, 6, score=0.2))
    by_team: dict[Team | None, set[float]] = {}
    for each, team in zip(page.hits, page.teams, strict=True):
        by_team.setdefault(team, set()).add(each.score)
    assert by_team == {Team.CONTROL: {0.9}, Team.TREATMENT: {0.2}}


def test_bits_of_any_seed_are_coins() -> None:
    """Each round's coin is fair, also the last of a long page."""
    random = Random(0)
    page = ranked(*range(100))
    counts = [0] * 50
    for _ in range(300):
        teams = drawn(page, page, 100, f"{random.random()}").teams
        for number, first in enumerate(teams[::2]):
            counts[number] += first is Team.TREATMENT
    assert max(abs(count - 150) for count in counts) < 5 * 75**0.5
