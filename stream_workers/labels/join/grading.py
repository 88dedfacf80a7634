"""What the acts on a page come to: grades and the examined place (docs/labels.md, 7 and 8)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from sightline.stream_workers.labels.codecs.interactions import Shown
from sightline.stream_workers.labels.codecs.searches import Graded
from sightline.stream_workers.labels.grades import (
    CLICK,
    LIKED,
    LONG_CLICK,
    NOTHING,
    SHARED_OR_CONVERTED,
    SHORT_CLICK,
)
from sightline.stream_workers.labels.join.counting import Counted
from sightline.stream_workers.labels.join.open_search import Act
from sightline.stream_workers.labels.rules import LabelRules

_by_position = attrgetter("position", "image_id")


@dataclass(slots=True)
class _Done:
    """What a person did with one image, counted by kind of act."""

    acts: list[Act]
    clicks: int = 0
    likes: int = 0
    shares: int = 0
    conversions: int = 0
    in_view_ms: int | None = None
    first_click_ms: int | None = None


def _add(done: _Done, act: Act) -> None:
    done.acts.append(act)
    item = act.item
    if item.kind == "clicked":
        done.clicks += 1
        if done.first_click_ms is None or act.own_ms < done.first_click_ms:
            done.first_click_ms = act.own_ms
    elif item.kind == "liked":
        done.likes += 1
    elif item.kind == "shared":
        done.shares += 1
    elif item.kind == "converted":
        done.conversions += 1
    if item.in_view_ms is not None:
        done.in_view_ms = max(done.in_view_ms or 0, item.in_view_ms)


def _dwell(done: _Done) -> int | None:
    """The greatest dwell reported at or after the earliest click."""
    start = done.first_click_ms
    if start is None:
        return None
    return max(
        (
            act.item.dwell_ms
            for act in done.acts
            if act.item.dwell_ms is not None and act.own_ms >= start
        ),
        default=None,
    )


def _grade(done: _Done, dwell_ms: int | None, rules: LabelRules) -> int:
    if done.shares or done.conversions:
        return SHARED_OR_CONVERTED
    if done.likes:
        return LIKED
    if not done.clicks:
        return NOTHING
    if dwell_ms is None:
        return CLICK
    return LONG_CLICK if dwell_ms >= rules.long_dwell_ms else SHORT_CLICK


def _is_examined(image: Graded, rules: LabelRules) -> bool:
    touched = image.clicks or image.likes or image.shares or image.conversions
    return bool(touched) or (image.in_view_ms or 0) >= rules.examined_ms


def _graded(shown: Shown, done: _Done | None, rules: LabelRules) -> Graded:
    if done is None:
        return Graded(
            shown.image_id,
            shown.position,
            shown.score,
            shown.perceptual_hash,
            NOTHING,
            team=shown.team,
        )
    dwell_ms = _dwell(done)
    return Graded(
        shown.image_id,
        shown.position,
        shown.score,
        shown.perceptual_hash,
        _grade(done, dwell_ms, rules),
        done.clicks,
        done.likes,
        done.shares,
        done.conversions,
        dwell_ms,
        done.in_view_ms,
        shown.team,
    )


def grade(counted: Counted, rules: LabelRules) -> tuple[list[Graded], int]:
    """Each image of the page once, by position, and the examined place (0: none)."""
    done: dict[str, _Done] = {}
    for act in counted.acts:
        image_id = act.item.image_id
        if image_id not in done:
            done[image_id] = _Done([])
        _add(done[image_id], act)
    shown = [_graded(image, done.get(image_id), rules) for image_id, image in counted.page.items()]
    shown.sort(key=_by_position)
    examined = (image.position for image in shown if done and _is_examined(image, rules))
    return shown, max(examined, default=0)
