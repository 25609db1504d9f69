"""One risk for a principal, out of what the detectors say and what is remembered.

A level of 1 is where honest traffic gets to with the detector's share of the budget of false positives: with a
probability of b / K a principal-day, for a budget b and K detectors. Tails of the statistics fall exponentially (that
is how thresholds are calibrated), so a level l stands for a tail probability of (b / K)^l. The detectors look at the
same calls and depend on each other; their probabilities are combined by the harmonic mean (Wilson 2019, "The harmonic
mean p-value for combining dependent tests"), p = K / sum(1 / p_i), and the risk is log p / log b. So a risk of 1 has
the probability b, one detector at level 1 alone brings it about, several that are nearly there do too, and what
detectors say nothing about costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from vecguard.detect.detector import Evidence
from vecguard.detect.thresholds import calibrated

HALF_LIFE_S: Final = 3_600.0
"""Seconds in which a risk halves while nothing is found."""


def decayed(risk: float, elapsed_s: float) -> float:
    """A risk after a time without evidence: r * 2^(-t / HALF_LIFE_S)."""
    return float(risk * 2.0 ** (-max(elapsed_s, 0.0) / HALF_LIFE_S))


def combined(risk: float, elapsed_s: float, evidence: Iterable[Evidence]) -> float:
    """The risk now: what the detectors say together, or the remembered risk, decayed, where that is higher.

    `risk` as of `elapsed_s` seconds ago.
    """
    return max(decayed(risk, elapsed_s), together([found.level for found in evidence]))


def together(levels: list[float], budget: float | None = None) -> float:
    """The risk that levels >= 0 say together, by the module's formula; 0.0 for none. `budget`: the calibrated one."""
    if not levels:
        return 0.0
    odds = -np.log(calibrated().false_positives_per_principal_day if budget is None else budget)
    count = np.log(len(levels))
    rarities = np.asarray(levels, dtype=np.float64) * (odds + count)  # -log of each tail probability
    return float((np.logaddexp.reduce(rarities) - count) / odds)
