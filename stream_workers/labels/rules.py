"""The numbers of `docs/labels.md`, and the arithmetic of epochs.

Why the rules of version 2 count votes, not acts: docs/adr/0011.
"""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.settings import LabelSettings

MS_PER_S = 1_000


@dataclass(frozen=True, kw_only=True)
class LabelRules:
    """One fixed set of rules; times are milliseconds since 1970, spans milliseconds."""

    epoch_ms: int = 600_000
    window_ms: int = 1_800_000
    lateness_ms: int = 300_000
    history: int = 6
    negatives: int = 3
    near_duplicate_bits: int = 40
    actor_pairs: int = 30
    actor_anchor_triples: int = 12
    actor_barred_images: int = 8
    min_actors: int = 1
    hot_anchor_triples: int = 200
    popular_negative_triples: int = 200
    bot_acts: int = 120
    bot_coverage_percent: int = 80
    bot_coverage_shown: int = 30
    long_dwell_ms: int = 10_000
    examined_ms: int = 1_000
    version: str = "2"

    @classmethod
    def of(cls, settings: LabelSettings) -> LabelRules:
        """The rules that the settings ask for."""
        return cls(
            epoch_ms=round(settings.epoch_s * MS_PER_S),
            window_ms=round(settings.attribution_window_s * MS_PER_S),
            lateness_ms=round(settings.lateness_s * MS_PER_S),
            history=settings.history_epochs,
            negatives=settings.negatives_per_positive,
            near_duplicate_bits=settings.near_duplicate_bits,
            actor_pairs=settings.actor_pairs,
            actor_anchor_triples=settings.actor_anchor_triples,
            actor_barred_images=settings.actor_barred_images,
            min_actors=settings.min_actors,
            hot_anchor_triples=settings.hot_anchor_triples,
            popular_negative_triples=settings.popular_negative_triples,
            bot_acts=settings.bot_acts,
            bot_coverage_percent=settings.bot_coverage_percent,
            bot_coverage_shown=settings.bot_coverage_shown,
            long_dwell_ms=round(settings.long_dwell_s * MS_PER_S),
            examined_ms=round(settings.examined_s * MS_PER_S),
            version=settings.rules_version,
        )

    def epoch_of(self, issued_ms: int) -> int:
        """Computes the epoch of a search from when it was answered."""
        return issued_ms // self.epoch_ms

    def closes_at(self, epoch: int) -> int:
        """The instant after which stream time closes the epoch: its end + W + L."""
        return (epoch + 1) * self.epoch_ms + self.window_ms + self.lateness_ms

    def oldest_open(self, stream_ms: int) -> int:
        """The oldest epoch that is open at this stream time, never below 0."""
        ends = stream_ms - self.window_ms - self.lateness_ms
        return max(0, -(-ends // self.epoch_ms) - 1)
