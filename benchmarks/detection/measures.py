"""Figures of merit: alarms per principal-day with their confidence, thresholds for a budget of them, and ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BUDGET = 1e-3
"""False positives per principal-day."""


@dataclass(frozen=True)
class Rate:
    """Alarms in so many principal-days; `upper` is the bound of 95% confidence on the rate.

    Clopper and Pearson (1934), one-sided; without any alarm that is the rule of three, 3 / days.
    """

    alarms: int
    days: int
    upper: float

    @property
    def rate(self) -> float:
        """Alarms per principal-day."""
        return self.alarms / self.days if self.days else 0.0


def rate(alarms: int, days: int) -> Rate:
    """The rate of alarms with its bound."""
    from scipy.stats import beta

    upper = 1.0 if alarms >= days else float(beta.ppf(0.95, alarms + 1, days - alarms))
    return Rate(alarms, days, upper)


def threshold_for(worst: Sequence[float], budget: float = BUDGET) -> float:
    """The lowest threshold at which no larger a share of days than the budget raises an alarm (statistic >= threshold):
    just above the highest statistic of those that must not."""
    ordered = np.sort(np.asarray(worst, dtype=np.float64))[::-1]
    allowed = int(np.floor(budget * len(ordered)))
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.inf))


def roc(honest: Sequence[float], attacks: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False and true positive rates over all thresholds, ascending, from (0, 0) to (1, 1)."""
    good, bad = np.sort(np.asarray(honest)), np.sort(np.asarray(attacks))
    thresholds = np.concatenate([[np.inf], np.unique(np.concatenate([good, bad]))[::-1]])
    false = 1 - np.searchsorted(good, thresholds, side="left") / max(len(good), 1)
    true = 1 - np.searchsorted(bad, thresholds, side="left") / max(len(bad), 1)
    return false, true


def share_at(honest: Sequence[float], attacks: Sequence[float], budget: float = BUDGET) -> float:
    """The share of attacks that are told at the budget of false positives."""
    threshold = threshold_for(honest, budget)
    return float(np.mean([one >= threshold for one in attacks])) if len(attacks) else float("nan")
