"""The gate: what it releases, refuses and cannot decide; how often it is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightline.training.evaluation.gate import (
    Evidence,
    GateDecision,
    GateLimits,
    GateVerdict,
    RuleOutcome,
    decide,
    harmless,
)
from sightline.training.evaluation.paired import (
    NOTHING,
    Difference,
    difference_of,
    paired_difference,
)
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import QueryScores, score_queries
from sightline.training.evaluation.served import ServedAsBuilt, compare_served
from sightline.training.evaluation.strength import (
    BY_CLICKS,
    CAREFUL,
    GradedQueries,
    Groups,
    choose,
    deciding_part,
    evidence,
)

LIMITS = GateLimits()
GOOD = Difference(point=0.05, lower=0.03, upper=0.07, p_value=0.001, clusters=90, queries=900)
EQUAL = Difference(point=0.0, lower=-0.006, upper=0.006, p_value=0.9, clusters=90, queries=900)
WHOLE = ServedAsBuilt(pictures=200, worst_cosine=0.99999, finite=True, collapsed=0)
FINE = Evidence(clicked=GOOD, clicked_gain=GOOD, unclicked=EQUAL, slices={}, served=WHOLE)


def line(decision: GateDecision, rule: str) -> RuleOutcome:
    """What one rule said."""
    (found,) = [each.outcome for each in decision.lines if each.rule == rule]
    return found


def test_a_better_model_that_harms_nothing_is_released() -> None:
    """All rules pass, each with its line, and nothing more is needed."""
    decision = decide(replace(FINE, slices={"shoes": EQUAL}), LIMITS)
    assert decision.verdict is GateVerdict.RELEASED
    assert [found.outcome for found in decision.lines] == [RuleOutcome.PASSED] * 4
    assert decision.needs == 0


@pytest.mark.parametrize(
    ("clicked", "gain", "verdict"),
    [
        (replace(GOOD, point=0.009, lower=0.001), EQUAL, GateVerdict.REFUSED),
        (replace(GOOD, point=-0.01, lower=-0.02, upper=-0.001), EQUAL, GateVerdict.REFUSED),
        (replace(GOOD, point=0.02, lower=-0.01), EQUAL, GateVerdict.TOO_LITTLE),
        (EQUAL, GOOD, GateVerdict.RELEASED),
        (replace(GOOD, clusters=19), EQUAL, GateVerdict.TOO_LITTLE),
        (NOTHING, NOTHING, GateVerdict.TOO_LITTLE),
        (replace(GOOD, point=np.nan, lower=np.nan, upper=np.nan),) * 2 + (GateVerdict.REFUSED,),
    ],
    ids=["too small", "worse", "unsure", "by nDCG", "few clusters", "none", "no numbers"],
)
def test_the_gain_must_be_sure_and_large(
    clicked: Difference, gain: Difference, verdict: GateVerdict
) -> None:
    """Either measure may show it; an effect that does not matter is no reason to change a model."""
    assert decide(replace(FINE, clicked=clicked, clicked_gain=gain), LIMITS).verdict is verdict


@pytest.mark.parametrize(
    ("unclicked", "verdict", "needs"),
    [
        (replace(EQUAL, clusters=79), GateVerdict.TOO_LITTLE, 1),
        (NOTHING, GateVerdict.TOO_LITTLE, 80),
        (replace(EQUAL, lower=-0.02), GateVerdict.TOO_LITTLE, 271),
        (replace(EQUAL, point=-0.0095, lower=-0.02, upper=0.001), GateVerdict.REFUSED, 0),
        (replace(EQUAL, point=-0.012, lower=-0.02, upper=0.001), GateVerdict.REFUSED, 0),
        (replace(EQUAL, point=-0.03, lower=-0.05, upper=-0.02, clusters=9), GateVerdict.REFUSED, 0),
    ],
    ids=["one short", "none", "wide", "at the margin", "probably worse", "surely worse"],
)
def test_what_nobody_clicked_must_not_lose(
    unclicked: Difference, verdict: GateVerdict, needs: int
) -> None:
    """Too little evidence says how many clusters are missing; harm that shows is refused."""
    decision = decide(replace(FINE, unclicked=unclicked), LIMITS)
    assert decision.verdict is verdict
    assert decision.needs == needs


def test_the_clusters_that_are_asked_for_are_enough() -> None:
    """With so many more of the same kind the bound passes: they count with their square root."""
    wide = replace(EQUAL, lower=-0.02)
    needs = decide(replace(FINE, unclicked=wide), LIMITS).needs
    more = wide.clusters + needs
    narrower = replace(wide, clusters=more, lower=wide.lower * (wide.clusters / more) ** 0.5)
    assert decide(replace(FINE, unclicked=narrower), LIMITS).verdict is GateVerdict.RELEASED


def test_who_is_refused_is_not_asked_for_more() -> None:
    """One rule fails, another one lacks clusters: no number of them would change the verdict."""
    worse = replace(GOOD, point=-0.01, lower=-0.02, upper=-0.001)
    few = replace(EQUAL, clusters=20)
    decision = decide(replace(FINE, clicked=worse, clicked_gain=worse, unclicked=few), LIMITS)
    assert (decision.verdict, decision.needs) == (GateVerdict.REFUSED, 0)


def test_a_large_slice_may_refuse_and_a_small_one_only_tells() -> None:
    """A bootstrap over six clusters is not honest."""
    lost = replace(EQUAL, point=-0.08, lower=-0.1, upper=-0.06)
    large = decide(replace(FINE, slices={"a": replace(lost, clusters=20)}), LIMITS)
    small = decide(replace(FINE, slices={"a": replace(lost, clusters=19)}), LIMITS)
    assert (large.verdict, small.verdict) == (GateVerdict.REFUSED, GateVerdict.RELEASED)
    assert line(small, "slice a") is RuleOutcome.REPORTED


@pytest.mark.parametrize(
    ("judged", "outcome", "verdict"),
    [
        (None, None, GateVerdict.RELEASED),
        (NOTHING, RuleOutcome.REPORTED, GateVerdict.RELEASED),
        (replace(EQUAL, clusters=20), RuleOutcome.PASSED, GateVerdict.RELEASED),
        (replace(EQUAL, clusters=19), RuleOutcome.REPORTED, GateVerdict.RELEASED),
        (replace(EQUAL, lower=-0.02), RuleOutcome.REPORTED, GateVerdict.RELEASED),
        (replace(EQUAL, point=-0.03, p_value=0.03), RuleOutcome.PASSED, GateVerdict.RELEASED),
        (replace(EQUAL, point=-0.009, p_value=0.001), RuleOutcome.PASSED, GateVerdict.RELEASED),
        (
            replace(EQUAL, point=-0.03, p_value=0.02, clusters=7),
            RuleOutcome.FAILED,
            GateVerdict.REFUSED,
        ),
        (replace(EQUAL, point=np.nan, p_value=np.nan), RuleOutcome.FAILED, GateVerdict.REFUSED),
    ],
    ids=["no grades", "no news", "equal", "few", "wide", "chance", "small", "worse", "no numbers"],
)
def test_grades_that_show_a_loss_refuse_and_few_grades_block_nothing(
    judged: Difference | None, outcome: RuleOutcome | None, verdict: GateVerdict
) -> None:
    """A loss that matters and that chance hardly makes is harm, by however few kinds it shows."""
    decision = decide(replace(FINE, judged=judged), LIMITS)
    lines = [each for each in decision.lines if each.rule == "not worse where judged"]
    assert [each.outcome for each in lines] == ([] if outcome is None else [outcome])
    assert [each.says.endswith("too few to tell") for each in lines] == (
        [] if outcome is None else [outcome is RuleOutcome.REPORTED]
    )
    assert (decision.verdict, decision.needs) == (verdict, 0)


@pytest.mark.parametrize(
    "served",
    [
        replace(WHOLE, worst_cosine=0.9998),
        replace(WHOLE, finite=False),
        replace(WHOLE, collapsed=1),
        replace(WHOLE, worst_cosine=float("nan")),
        replace(WHOLE, pictures=199, worst_cosine=0.9998),
    ],
    ids=["another model", "NaN", "collapsed", "no cosine", "few pictures of another model"],
)
def test_what_is_served_must_be_what_was_trained(served: ServedAsBuilt) -> None:
    """A model that scores well and is served as another one is refused."""
    decision = decide(replace(FINE, served=served), LIMITS)
    assert decision.verdict is GateVerdict.REFUSED
    assert line(decision, "served as built") is RuleOutcome.FAILED


@pytest.mark.parametrize("pictures", [0, 1, 199])
def test_few_pictures_cannot_tell_what_is_served(pictures: int) -> None:
    """Nothing is wrong with them, and they are no proof either: more are needed."""
    few = np.random.default_rng(0).normal(size=(pictures, 8))
    decision = decide(replace(FINE, served=compare_served(few, few)), LIMITS)
    assert decision.verdict is GateVerdict.TOO_LITTLE
    assert line(decision, "served as built") is RuleOutcome.TOO_LITTLE
    assert "needed 200" in decision.lines[-1].says


def test_served_vectors_are_compared_row_by_row() -> None:
    """Equal but for their length is equal; NaN, a constant and a swapped row are seen."""
    trained = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    same = compare_served(trained, trained / 3)
    assert (same.pictures, same.finite, same.collapsed) == (50, True, 0)
    assert same.worst_cosine == pytest.approx(1.0)
    constant, swapped, broken = trained.copy(), trained[::-1], trained.copy()
    constant[:, 2], broken[3, 1] = 0.25, np.nan
    assert compare_served(constant, constant).collapsed == 1
    assert compare_served(np.ones((9, 8)), np.ones((9, 8))).collapsed == 8
    assert compare_served(trained, swapped).worst_cosine < 0.5
    assert not compare_served(trained, broken).finite
    assert compare_served(trained, broken).worst_cosine == 0
    with pytest.raises(ValueError, match="not alike"):
        compare_served(trained, trained[:, 1:])


def test_a_difference_is_that_of_single_queries() -> None:
    """The point is the mean over queries that have anything to find, not over clusters."""
    truth = EqualLabels.of(["a", "b", "b", "z"], ["a", "b", "x"])
    gallery = np.eye(3)
    before = score_queries(gallery[[0, 2, 2, 1]], gallery, truth)
    after = score_queries(gallery[[0, 1, 1, 1]], gallery, truth)
    found = paired_difference(before, after, np.array(["a", "b", "b", "z"]), draws=50)
    gained = after.average_precision[:3] - before.average_precision[:3]
    assert found.point == pytest.approx(gained.mean())
    assert (found.clusters, found.queries) == (2, 3)


def test_equal_models_differ_by_nothing() -> None:
    """Bounds of 0 around 0, and no significance at all."""
    found = difference_of(np.zeros(30), np.arange(30) // 3, draws=100)
    assert (found.point, found.lower, found.upper, found.p_value) == (0, 0, 0, 1)


def test_a_sure_gain_is_significant_to_the_last_draw() -> None:
    """Every cluster gains: the smallest p-value that the draws can give is near."""
    found = difference_of(np.full(120, 0.1), np.arange(120) // 4, draws=200)
    assert found.p_value == pytest.approx(1 / 201)
    assert found.lower == pytest.approx(0.1)


def test_the_same_seed_gives_the_same_bounds() -> None:
    """A decision can be repeated to the bit, and another seed draws others."""
    gained, clusters = study(np.random.default_rng(3), 0.0, clusters=20)
    one, again = (difference_of(gained, clusters, draws=99, seed=5) for _ in range(2))
    assert one == again
    assert one != difference_of(gained, clusters, draws=99, seed=6)


def test_scores_of_other_queries_are_refused() -> None:
    """Two models are compared on one truth, or not at all."""
    one, other = (
        score_queries(np.eye(2), np.eye(2), EqualLabels.of(labels, ["a", "b"]))
        for labels in (["a", "b"], ["a", "z"])
    )
    with pytest.raises(ValueError, match="same queries"):
        paired_difference(one, other, np.arange(2))


def study(
    random: np.random.Generator, truth: float, *, clusters: int, spread: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Per-query gains whose mean is truly `truth`, eleven to a cluster and alike within it.

    A third of their variance lies between clusters (measured: .24 to .52); `spread` is the
    standard deviation of one query's gain.
    """
    sizes = 1 + random.poisson(10, clusters)
    groups = np.repeat(np.arange(clusters), sizes)
    between = random.normal(0, spread * 0.3**0.5, clusters)[groups]
    within = random.normal(0, spread * 0.7**0.5, len(groups))
    return truth + between + within, groups


def passes(truth: float, *, clusters: int, by_query: bool = False, studies: int = 200) -> float:
    """How often "surely above -.01" holds in studies of a model that is so much better."""
    random = np.random.default_rng(clusters)
    passed = 0
    for seed in range(studies):
        gained, groups = study(random, truth, clusters=clusters)
        names = np.arange(len(groups)) if by_query else groups
        passed += difference_of(gained, names, draws=200, seed=seed).lower > -0.01
    return passed / studies


@pytest.mark.parametrize("clusters", [20, 84, 300])
def test_a_model_that_is_truly_worse_rarely_passes(clusters: int) -> None:
    """Of models exactly at the margin, one in twenty is promised; 200 studies tell it to ± .03."""
    assert passes(-0.01, clusters=clusters) <= 0.07


def test_equal_models_mostly_pass_with_84_clusters() -> None:
    """At most one in ten is refused at a margin of one point, and with 20 clusters many are."""
    assert passes(0.0, clusters=84) >= 0.9
    assert passes(0.0, clusters=20) < 0.6


def test_drawing_queries_would_let_many_harmful_models_pass() -> None:
    """Why the gate draws clusters: of models at the margin single queries pass three times more."""
    assert passes(-0.01, clusters=84, by_query=True, studies=40) > 0.15


def judged_harm(truth: float, *, clusters: int, studies: int = 200) -> float:
    """How often grades on so many kinds refuse a model that is truly so much better there."""
    random = np.random.default_rng(clusters)
    refused = 0
    for seed in range(studies):
        gained, groups = study(random, truth, clusters=clusters)
        found = difference_of(gained, groups, draws=200, seed=seed)
        decision = decide(replace(FINE, judged=found), LIMITS)
        refused += decision.verdict is GateVerdict.REFUSED
    return refused / studies


@pytest.mark.parametrize(
    ("clusters", "harm", "seen"), [(8, 0.05, 0.7), (20, 0.03, 0.9), (84, 0.02, 0.9)]
)
def test_grades_refuse_harm_and_hardly_ever_an_equal_model(
    clusters: int, harm: float, seen: float
) -> None:
    """One equal model in a hundred, so that both rules together refuse one in ten at most."""
    assert judged_harm(0.0, clusters=clusters) <= 0.03
    assert judged_harm(-harm, clusters=clusters) >= seen


# --- choosing a strength


def scores(average_precision: np.ndarray) -> QueryScores:
    """Scores with this average precision; the other measures follow it."""
    return QueryScores(
        relevant=np.ones(len(average_precision), np.int64),
        average_precision=average_precision,
        reciprocal_rank=average_precision,
        precision={},
        recall={},
        ndcg={24: average_precision},
    )


def world(unclicked: int, seed: int = 0) -> tuple[Groups, dict[float, QueryScores], QueryScores]:
    """Clicked clusters gain with the strength; unclicked ones gain at first and lose at last."""
    random = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(100 + unclicked), 6)
    clicked = clusters < 100
    base = np.full(len(clusters), 0.5)

    def at(strength: float) -> QueryScores:
        change = np.where(clicked, 0.15 * strength, 0.02 - 0.08 * strength**4)
        return scores(base + change + random.normal(0, 0.03, len(base)))

    groups = Groups(clusters=clusters, clicked=clicked, slices={"all": np.ones(len(base), bool)})
    return groups, {each: at(each) for each in (0.2, 0.35, 0.6, 0.8, 1.0)}, scores(base)


def decided(
    groups: Groups, after: dict[float, QueryScores], before: QueryScores
) -> tuple[float, GateDecision]:
    """The strength that is chosen, and what the gate says of it."""
    chosen = choose(before, after, groups, LIMITS)
    found = evidence(before, after[chosen.strength], groups, WHOLE, among=chosen.deciding, seed=1)
    return chosen.strength, decide(found, LIMITS)


def test_the_strongest_harmless_strength_is_chosen_and_released() -> None:
    """At .6 unclicked things still gain a point, at .8 they lose more than one."""
    chosen, decision = decided(*world(200))
    assert chosen == 0.6
    assert decision.verdict is GateVerdict.RELEASED
    assert "(600 queries in 100 clusters)" in decision.lines[1].says


def test_where_clusters_are_few_the_careful_strength_is_decided_on_all() -> None:
    """Of 119 too few would be left to choose by; all of them can decide."""
    chosen, decision = decided(*world(119))
    assert chosen == CAREFUL
    assert decision.verdict is GateVerdict.RELEASED
    assert "(714 queries in 119 clusters)" in decision.lines[1].says


def test_a_third_of_them_chooses_where_half_could_not_decide() -> None:
    """The deciding ones are as many as it takes."""
    chosen, decision = decided(*world(120))
    assert chosen == 0.6
    assert decision.verdict is GateVerdict.RELEASED
    assert "(480 queries in 80 clusters)" in decision.lines[1].says


def test_a_candidate_that_harms_at_every_strength_is_refused() -> None:
    """The weakest is what the other half decides on, and it is refused, too."""
    groups, after, before = world(200)
    harm = np.where(groups.clicked, 0.0, -0.1)
    worse = {each: scores(found.average_precision + harm) for each, found in after.items()}
    chosen, decision = decided(groups, worse, before)
    assert chosen == 0.2
    assert decision.verdict is GateVerdict.REFUSED


def released_share(truth: float, *, studies: int = 100) -> float:
    """How often a model is released that is truly so much better at each strength to choose of."""
    released = 0
    for seed in range(studies):
        random = np.random.default_rng(seed)
        gained, groups = study(random, truth, clusters=120)
        clusters = np.concatenate([groups, 120 + np.arange(120) // 3])
        clicked = clusters >= 120
        base = np.full(len(clusters), 0.5)
        change = np.concatenate([gained, np.full(120, 0.1)])
        noise = {s: random.normal(0, 0.01, len(base)) for s in BY_CLICKS}
        after = {s: scores(base + change + noise[s]) for s in BY_CLICKS}
        world_of = Groups(clusters=clusters, clicked=clicked, slices={})
        decision = decided(world_of, after, scores(base))[1]
        released += decision.verdict is GateVerdict.RELEASED
    return released / studies


def test_a_choice_lets_no_more_harm_pass() -> None:
    """What decides had no part in it: of models at the margin as few are released as of one."""
    assert released_share(-0.01) <= 0.07


def test_a_choice_refuses_hardly_more_equal_models() -> None:
    """Nine in ten of those that are close are released by 80 deciding clusters."""
    assert released_share(0.0) >= 0.85


def judged_world(groups: Groups, after: dict[float, QueryScores], harm: float) -> GradedQueries:
    """The same queries as people grade them: each loses by strength."""
    base = np.full(len(groups.clusters), 0.5)
    made = {s: scores(base - harm * s) for s in after}
    return GradedQueries(before=scores(base), after=made, clusters=groups.clusters)


def test_a_strength_that_harms_what_is_judged_is_not_chosen() -> None:
    """Kinds by whose clicks it is chosen are not those by whose grades it is decided."""
    groups, after, before = world(200)
    graded = judged_world(groups, after, harm=0.02)
    chosen = choose(before, after, groups, LIMITS, graded=graded)
    assert chosen.strength == 0.35
    decided_by = graded.deciding(groups, chosen)
    assert decided_by.point == pytest.approx(-0.007)
    assert decided_by.clusters == len(np.unique(groups.clusters[chosen.deciding])) == 150


def test_where_nothing_was_chosen_all_grades_decide() -> None:
    """Each kind of them, those without a click among what judges, too."""
    groups, after, before = world(100)
    graded = judged_world(groups, after, harm=0.1)
    chosen = choose(before, after, groups, LIMITS, graded=graded)
    assert chosen.strength == CAREFUL
    assert graded.deciding(groups, chosen).clusters == 200
    found = evidence(
        before,
        after[CAREFUL],
        groups,
        WHOLE,
        among=chosen.deciding,
        judged=graded.deciding(groups, chosen),
    )
    assert decide(found, LIMITS).verdict is GateVerdict.REFUSED


def test_a_slice_that_loses_is_harm() -> None:
    """Rules 2 and 3 alone, with no regard to how many clusters there are."""
    few = replace(EQUAL, clusters=30)
    lost = replace(few, point=-0.08, lower=-0.1, upper=-0.06)
    assert harmless(few, {"a": few}, LIMITS)
    assert not harmless(few, {"a": lost}, LIMITS)
    assert not harmless(lost, {}, LIMITS)


def test_halves_split_clusters_and_not_queries() -> None:
    """All queries of a cluster are on one side, and each side has clicked and unclicked ones."""
    groups, _, _ = world(41)
    for least, choosing in ((0, 20), (21, 20), (30, 11), (50, 0)):
        part = deciding_part(groups, at_least=least, seed=1)
        for where, total, fewer in ((groups.clicked, 100, 50), (~groups.clicked, 41, choosing)):
            one, other = (set(groups.clusters[where & side]) for side in (part, ~part))
            assert not one & other
            assert (len(one), len(other)) == (total - fewer, fewer)


# --- known bad candidates, as vectors


LABELS = np.repeat(np.arange(180), 8)
IS_QUERY = np.arange(len(LABELS)) % 8 < 3
CLICKED = LABELS < 90
TELLING, NOISE = np.arange(48) < 24, np.arange(48) >= 24


def features() -> np.ndarray:
    """Eight pictures of each of 180 things: 24 numbers tell them apart, 24 are noise."""
    random = np.random.default_rng(2)
    telling = random.normal(size=(180, 24))[LABELS] + random.normal(size=(len(LABELS), 24))
    return np.concatenate([telling, 1.5 * random.normal(size=(len(LABELS), 24))], axis=1)


def vectors_of(candidate: str) -> np.ndarray:
    """The pictures' vectors under a head that has learnt what is noise, spoilt in a known way."""
    random, vectors = np.random.default_rng(3), features()
    match candidate:
        case "serving":
            pass
        case "good":
            vectors[:, NOISE] *= 0.6
        case "shuffled positives":
            vectors[:, TELLING] *= 0.6
        case "noisy clicks":
            vectors[:, NOISE] *= 1.05
        case "trained too long":
            vectors[:, NOISE] *= 0.4
            vectors[~CLICKED] += random.normal(size=(int((~CLICKED).sum()), 48))
        case "collapsed":
            vectors[:, NOISE], vectors[:, 0] = 0.0, vectors[:, 0]
        case "NaN":
            vectors[7, 3] = np.nan
    return vectors.astype(np.float32)


def measured(candidate: str) -> Evidence:
    """What evaluation finds of a candidate beside the serving model."""
    asked = LABELS[IS_QUERY].astype(str).tolist()
    truth = EqualLabels.of(asked, LABELS[~IS_QUERY].astype(str).tolist())

    def scored(name: str) -> QueryScores:
        vectors = vectors_of("good" if name == "mixed up" else name)
        queries, gallery = vectors[IS_QUERY], vectors[~IS_QUERY]
        return score_queries(
            gallery[: len(queries)] if name == "mixed up" else queries, gallery, truth
        )

    vectors = vectors_of("good" if candidate == "mixed up" else candidate)[:200]
    groups = Groups(clusters=LABELS[IS_QUERY], clicked=CLICKED[IS_QUERY], slices={})
    served = compare_served(vectors, vectors)
    return evidence(scored("serving"), scored(candidate), groups, served)


def test_the_good_candidate_is_released() -> None:
    """What the bad ones below are made of passes every rule."""
    assert decide(measured("good"), LIMITS).verdict is GateVerdict.RELEASED


@pytest.mark.parametrize(
    "bad",
    ["NaN", "shuffled positives", "noisy clicks", "trained too long", "collapsed", "mixed up"],
)
def test_known_bad_candidates_are_refused(bad: str) -> None:
    """Each known way to spoil a model is refused, and not for want of evidence."""
    assert decide(measured(bad), LIMITS).verdict is GateVerdict.REFUSED
