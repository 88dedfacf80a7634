"""What serves and what may, as a value: each step makes another, and refuses what must not be."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sightline.engine.errors import Conflict, NotFound
from sightline.engine.object_store.json_record import StoredTime, StoredValue
from sightline.engine.serving.events import (
    of_experiment_end,
    of_experiment_start,
    of_generation,
    of_step,
    with_finding,
)
from sightline.engine.serving.values import (
    EndedExperiment,
    Experiment,
    GenerationName,
    GenerationStage,
    KnownGeneration,
    Serves,
    ServingStep,
    UntoldEvent,
)
from sightline.schemas.fields import MAX_VERSION
from sightline.schemas.models import reason_of

KEPT_BEFORE = 20
"""What served before is remembered for so many steps back."""
KEPT_ENDED = 100
"""So many experiments are remembered, whatever the log forgets."""


class ServingState(StoredValue):
    """Which generations exist, which of them serves, and what served before."""

    format: Literal[1] = 1
    number: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    """Counts up whenever something else serves; after the highest comes 1."""
    generations: tuple[KnownGeneration, ...]
    serves: Serves
    before: tuple[Serves, ...] = ()
    """Newest first: where a way back leads."""
    experiment: Experiment | None = None
    step: ServingStep | None = None
    """How what serves came to serve; None: it did from the start."""
    to_tell: tuple[UntoldEvent, ...] = ()
    """What `models.v1` has still to be told of the steps, oldest first."""
    dropping: tuple[GenerationName, ...] = ()
    """Dropped, and still to be removed by a process that has the index."""
    behind: tuple[GenerationName, ...] = ()
    """Were not fed for a while: they may not come into service until somebody who feeds them has
    made sure that they lack nothing."""
    forgetting: tuple[str, ...] = ()
    """Begins of consumer groups that nobody needs any more, still to be deleted."""
    ended: tuple[EndedExperiment, ...] = ()
    """Experiments that ran, newest first."""
    changed_at: StoredTime
    reason: str
    """Why the last step was made, for a person."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Refuse what no step leads to: acted on, it would remove an index or feed half of one."""
        known = {one.name: one for one in self.generations}
        arms = [self.serves, *([] if self.experiment is None else [self.experiment.treatment])]
        named = {one.generation for one in (*arms, *self.before)}
        if len(known) != len(self.generations):
            raise ValueError("two generations have one name")
        if len({one.group for one in self.generations}) != len(known):
            raise ValueError("two generations have one group: each would get half of the events")
        if named - known.keys() or known.keys() & set(self.dropping):
            raise ValueError("a generation in use is not listed, or one to be dropped still is")
        if not all(known[arm.generation].may_serve for arm in arms):
            raise ValueError("a generation that serves is still being filled")
        return self

    @classmethod
    def first(cls, generation: KnownGeneration, now: datetime) -> Self:
        """The state of a deployment that has one generation."""
        return cls(
            number=1,
            generations=(generation,),
            serves=Serves(generation=generation.name),
            changed_at=now,
            reason="the first generation",
        )

    @property
    def serving(self) -> KnownGeneration:
        """The generation that answers those who are in no experiment's treatment."""
        return self.generation(self.serves.generation)

    @property
    def in_service(self) -> frozenset[str]:
        """Names every generation that searches are answered from."""
        arms = (
            [self.serves] if self.experiment is None else [self.serves, self.experiment.treatment]
        )
        return frozenset(arm.generation for arm in arms)

    def generation(self, name: str) -> KnownGeneration:
        """The generation of this name. Raises `NotFound`."""
        for known in self.generations:
            if known.name == name:
                return known
        names = ", ".join(known.name for known in self.generations)
        raise NotFound(f"there is no generation {name}: there are {names}")

    def with_generation(self, new: KnownGeneration, now: datetime, reason: str) -> Self:
        """One more generation, which does not serve yet.

        Raises:
            Conflict: there is one of this name, or it does not begin by being filled.
        """
        if new.name in self.dropping:
            raise Conflict(
                f"generation {new.name} was dropped and is not removed yet: a process with the "
                "index does so within seconds; try again then"
            )
        if any(known.name == new.name for known in self.generations):
            raise Conflict(
                f"generation {new.name} exists already: go on with it, or drop it first "
                f"(`sightline generations drop {new.name}`)"
            )
        if new.stage is not GenerationStage.FILLING:
            raise Conflict(f"generation {new.name} is new and must begin as `filling`")
        return self._with(
            generations=(*self.generations, new),
            forgetting=tuple(group for group in self.forgetting if group != new.group),
            to_tell=self.to_tell + of_generation(new, "made", now, reason),
            changed_at=now,
            reason=reason,
        )

    def made_ready(self, name: str, now: datetime, reason: str) -> Self:
        """The generation was proven equal: it may serve. A repeat changes nothing.

        Raises:
            NotFound: there is no such generation.
        """
        known = self.generation(name)
        if known.may_serve:
            return self
        return self._with(
            generations=self._changed(name, stage=GenerationStage.READY),
            to_tell=self.to_tell + of_generation(known, "proven", now, reason),
            changed_at=now,
            reason=reason,
        )

    def refused(self, name: str, now: datetime, says: str) -> Self:
        """The generation was compared and differs: it goes on as it is, and others are told.

        Raises:
            NotFound: there is no such generation.
        """
        noted = of_generation(self.generation(name), "refused", now, says)
        known = {one.id for one in self.to_tell}
        return self._with(to_tell=self.to_tell + tuple(one for one in noted if one.id not in known))

    def switched(self, to: Serves, now: datetime, reason: str) -> Self:
        """Another generation serves, or the same one under another query model.

        Raises:
            NotFound: there is no such generation.
            Conflict: it is not ready, it serves already, or an experiment runs.
        """
        self._must_be_servable(to)
        if to == self.serves:
            raise Conflict(f"generation {to} serves already")
        if self.experiment is not None:
            raise Conflict(
                f"experiment {self.experiment.name} runs: stop it first "
                "(`sightline experiment stop`), else its figures mix what served before and after"
            )
        before = self.before if self._completes(to) else (self.serves, *self.before)
        return self._serving(to, before[:KEPT_BEFORE], now, reason)

    def rolled_back(self, now: datetime, reason: str) -> Self:
        """What served before serves again; an experiment ends.

        Raises:
            Conflict: nothing served before, or it is behind.
        """
        if not self.before:
            raise Conflict("there is no way back: nothing served before, or it was dropped")
        to, *before = self.before
        self._must_be_servable(to)
        return self._serving(to, tuple(before), now, reason)

    def dropped(self, name: str, now: datetime, grace: timedelta) -> Self:
        """The generation is forgotten; no way back leads to it any more.

        Args:
            name: of a generation that serves nobody.
            now: the present instant.
            grace: how long one is kept that served.

        Raises:
            NotFound: there is no such generation.
            Conflict: it serves, or did within its grace.
        """
        known = self.generation(name)
        if name in self.in_service:
            raise Conflict(f"generation {name} serves: switch to another one first")
        if known.retired_at is not None and now - known.retired_at < grace:
            until = (known.retired_at + grace).isoformat(timespec="seconds")
            raise Conflict(
                f"generation {name} served until a while ago and is kept for a way back until "
                f"{until} (`rollout.grace_days`)"
            )
        return self._with(
            generations=tuple(one for one in self.generations if one.name != name),
            before=tuple(one for one in self.before if one.generation != name),
            dropping=(*self.dropping, name),
            behind=tuple(one for one in self.behind if one != name),
            forgetting=(*self.forgetting, known.group),
            to_tell=self.to_tell + of_generation(known, "dropped", now, "it serves nobody"),
            changed_at=now,
            reason=f"dropped generation {name}",
        )

    def told(self, events: Collection[UntoldEvent]) -> Self:
        """The log knows these events. A repeat changes nothing."""
        return self._with(to_tell=tuple(one for one in self.to_tell if one not in events))

    def model_of(self, serves: Serves) -> str | None:
        """The model of the registry that answers; None: the one that the settings name.

        Raises:
            NotFound: there is no such generation any more.
        """
        return serves.query_model or self.generation(serves.generation).model

    def removed(self, name: str) -> Self:
        """Nothing is left of a dropped generation. A repeat changes nothing."""
        return self._with(dropping=tuple(one for one in self.dropping if one != name))

    def left_behind(self, name: str) -> Self:
        """The generation is not fed for now. One that is being filled is looked through anyway."""
        known = next((one for one in self.generations if one.name == name), None)
        if known is None or not known.may_serve or name in self.behind:
            return self
        return self._with(behind=(*self.behind, name))

    def to_fill_again(self, name: str, now: datetime, says: str) -> Self:
        """The log forgot what the generation had still to read: nobody knows what it lacks.

        What is in service stays there. A repeat changes nothing.

        Raises:
            NotFound: there is no such generation.
        """
        known = self.generation(name)
        if name in self.in_service or not known.may_serve:
            return self
        return self._with(
            generations=self._changed(name, stage=GenerationStage.FILLING),
            behind=tuple(one for one in self.behind if one != name),
            to_tell=self.to_tell + of_generation(known, "unread", now, says),
            changed_at=now,
            reason=f"generation {name} is to be filled again: {says}",
        )

    def caught_up(self, name: str) -> Self:
        """The generation is fed again and lacks nothing. A repeat changes nothing."""
        return self._with(behind=tuple(one for one in self.behind if one != name))

    def forgotten(self, group: str) -> Self:
        """The broker keeps nothing of these groups, or keeps it for good. A repeat does nothing."""
        return self._with(forgetting=tuple(one for one in self.forgetting if one != group))

    def experiment_started(self, experiment: Experiment, now: datetime, reason: str) -> Self:
        """A share of the actors is answered by something else.

        Raises:
            NotFound: there is no such generation.
            Conflict: one runs already, or its treatment is not ready, or is what serves.
        """
        if self.experiment is not None:
            raise Conflict(
                f"experiment {self.experiment.name} runs already: stop it first "
                "(`sightline experiment stop`)"
            )
        self._must_be_servable(experiment.treatment)
        if experiment.treatment == self.serves:
            raise Conflict(f"generation {self.serves} serves already: there is nothing to compare")
        return self._with(
            experiment=experiment,
            to_tell=self.to_tell + of_experiment_start(experiment, self.serves),
            number=self._next_number,
            changed_at=now,
            reason=reason,
        )

    def experiment_stopped(self, now: datetime, reason: str) -> Self:
        """Everybody is answered by what serves again.

        Raises:
            Conflict: none runs.
        """
        if self.experiment is None:
            raise Conflict("no experiment runs")
        return self._with(
            experiment=None,
            ended=self._ended(now),
            to_tell=self.to_tell + of_experiment_end(self.experiment, now, reason),
            number=self._next_number,
            changed_at=now,
            reason=reason,
        )

    def experiment_said(self, salt: str, finding: str, says: str) -> Self:
        """What an experiment had come to when it ended. A repeat changes nothing.

        Args:
            salt: the experiment's.
            finding: such as `better`.
            says: the figure that decided, or why there is none.
        """
        told = f"{finding}: {says}"
        ended = next((one for one in self.ended if one.experiment.salt == salt), None)
        if ended is None or ended.says == told:
            return self
        known = ended.model_copy(update={"says": told})
        return self._with(
            ended=tuple(known if one == ended else one for one in self.ended),
            to_tell=with_finding(self.to_tell, ended, finding, says),
        )

    @property
    def _next_number(self) -> int:
        return self.number % MAX_VERSION + 1

    def _ended(self, now: datetime) -> tuple[EndedExperiment, ...]:
        if self.experiment is None:
            return self.ended
        last = EndedExperiment(experiment=self.experiment, control=self.serves, ended_at=now)
        return (last, *self.ended)[:KEPT_ENDED]

    def _completes(self, to: Serves) -> bool:
        """Whether a model that ranks another's vectors gets its own: the way back leads past both.

        Else a rollback would lead from a model to itself.
        """
        return self.serves.query_model is not None and self.model_of(to) == self.serves.query_model

    def _must_be_servable(self, wanted: Serves) -> None:
        if not self.generation(wanted.generation).may_serve:
            raise Conflict(
                f"generation {wanted.generation} is being filled: it may serve once it is proven "
                "equal (`sightline generations list` tells how far it is)"
            )
        if wanted.generation in self.behind:
            raise Conflict(
                f"generation {wanted.generation} was not fed for a while and lacks what happened "
                "since: a process that has the index reads it once it feeds the generation again "
                "(its log says why it does not); try again then"
            )

    def _serving(self, to: Serves, before: tuple[Serves, ...], now: datetime, reason: str) -> Self:
        """What goes out of service is kept for a way back; what comes in is ready."""
        left, came = self.serves.generation, to.generation
        generations = self.generations
        if left != came:
            generations = self._changed(left, stage=GenerationStage.RETIRED, retired_at=now)
        step = ServingStep(
            number=self._next_number,
            left=self.serves,
            back=len(before) < len(self.before),
            at=now,
            reason=reason_of(reason),
        )
        models = {"came": self.model_of(to), "gone": self.model_of(self.serves)}
        ended = of_experiment_end(self.experiment, now, f"something else serves: {reason}")
        return self._with(
            generations=_each(generations, came, stage=GenerationStage.READY, retired_at=None),
            serves=to,
            before=before,
            step=step,
            to_tell=(*self.to_tell, *of_step(step, generation=came, **models), *ended),
            experiment=None,
            ended=self._ended(now),
            number=step.number,
            changed_at=now,
            reason=reason,
        )

    def _with(self, **changes: Any) -> Self:
        if "reason" in changes:
            changes["reason"] = reason_of(changes["reason"])
        return self.model_copy(update=changes)

    def _changed(self, name: str, **changes: Any) -> tuple[KnownGeneration, ...]:
        return _each(self.generations, name, **changes)


def _each(
    generations: tuple[KnownGeneration, ...], name: str, **changes: Any
) -> tuple[KnownGeneration, ...]:
    """The same generations, the one of this name with some fields changed."""
    return tuple(one.model_copy(update=changes) if one.name == name else one for one in generations)
