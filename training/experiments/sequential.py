"""An effect and its variance in, an interval out that holds at every look, however often one looks.

Whoever reads a 95 % interval daily and stops at the first that leaves out zero finds a difference
that is not there in far more than 5 % of the experiments. This interval may be read after every
search: its chance to leave out the truth *ever* is at most alpha. It is the normal mixture of
R. Johari, P. Koomen, L. Pekelis, D. Walsh, "Always Valid Inference: Continuous Monitoring of A/B
Tests" (Operations Research 70, 2022), section 4 (mSPRT), which I. Waudby-Smith, D. Arbour,
R. Sinha, E. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (Annals of Statistics 52, 2024), theorem 2.2, extend to whatever has a variance: there
t rho^2 is what `MIXTURE**2 / variance` is here. How often it is wrong where actors differ and come
again: benchmarks/experiment.py, docs/experiments.md.
"""

from __future__ import annotations

import math

ALPHA = 0.05
"""The chance of an interval to leave out the truth at any look."""
MIXTURE = 0.05
"""The standard deviation of the effects that are looked for, as a logarithm of a quotient: the
interval is tightest where effects of a few hundredths become visible. Fixed, since whoever chooses
it by the data peeks."""
_TINY = 1e-12
_HALVINGS = 100


def half_width(variance: float, *, mixture: float = MIXTURE, alpha: float = ALPHA) -> float:
    """How far the interval reaches to either side of the effect."""
    if not math.isfinite(variance):
        return math.inf
    variance = max(variance, _TINY)
    both = variance + mixture**2
    return math.sqrt(variance * both / mixture**2 * math.log(both / (variance * alpha**2)))


def p_value(effect: float, variance: float, *, mixture: float = MIXTURE) -> float:
    """At most alpha, at any look, with a chance of at most alpha; 1: nothing is known."""
    if not math.isfinite(variance) or math.isnan(effect):
        return 1.0
    variance = max(variance, _TINY)
    both = variance + mixture**2
    against = mixture**2 * effect**2 / (2 * variance * both)
    return min(1.0, math.sqrt(both / variance) * math.exp(-min(against, 700.0)))


def variance_for(reach: float, *, mixture: float = MIXTURE, alpha: float = ALPHA) -> float:
    """The variance at which the interval reaches so far."""
    low, high = _TINY, max(reach, mixture) ** 2
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        if half_width(middle, mixture=mixture, alpha=alpha) > reach:
            high = middle
        else:
            low = middle
    return low
