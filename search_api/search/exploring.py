"""Settings in, the page of a share of the searches varied by chance out; off by default.

The one exception to "equal questions get equal answers" (docs/adr/0026).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from sightline.engine.exploration import swapped, with_newcomer
from sightline.engine.ports import Clock
from sightline.engine.search_ids import SearchIds, new_nonce
from sightline.engine.serving.pair import DEFAULT_VARIANT
from sightline.engine.settings import ApiSettings
from sightline.search_api.http.request_fields import SearchFields
from sightline.search_api.search.rerank import RankedPage

BELOW = 24
"""So many results below the page may hold a newcomer."""


class Exploring:
    """Decides by chance which pages are varied, and how.

    Args:
        settings: which share, and what is new.
        clock: tells how long an image has been listed.
        ids: seed chance by each search's id and the secret behind it.
    """

    def __init__(self, settings: ApiSettings, clock: Clock, ids: SearchIds) -> None:
        self._share = settings.explore_share
        self._new = timedelta(seconds=settings.explore_new_s)
        self._clock = clock
        self._ids = ids

    def nonce(self, fields: SearchFields, variant: str) -> bytes | None:
        """What seeds the chance of a search, and goes into its id; None: no chance varies it.

        None varies `exact` ones, nor those of an experiment, whose arms it would thin out.

        Args:
            fields: of the search.
            variant: the arm that answers it.
        """
        if not self._share or fields.exact or variant != DEFAULT_VARIANT:
            return None
        return new_nonce()

    def chance(self, nonce: bytes | None) -> Random | None:
        """What varies the page of the search whose id has this nonce; None: it stays as it is."""
        if nonce is None:
            return None
        random = self._ids.chance(nonce)
        return random if random.random() < self._share else None

    @property
    def below(self) -> int:
        """How many results more than it shows a page is made from that is to be varied."""
        return BELOW if self._new else 0

    def varied(self, found: RankedPage, limit: int, chance: Random) -> RankedPage:
        """The first results, neighbours swapped, with one place for an image that is new.

        Args:
            found: the page, and `below` results more.
            limit: how many are shown.
            chance: of this search.
        """
        page, below = found.hits[:limit], found.hits[limit:]
        new_since = self._clock.now() - self._new
        newcomers = [hit for hit in below if _listed(hit.image.since, new_since)]
        hits = swapped(with_newcomer(page, newcomers, chance), chance)
        return replace(found, hits=hits, explored=True)


def _listed(since: datetime | None, new_since: datetime) -> bool:
    return since is not None and since >= new_since
