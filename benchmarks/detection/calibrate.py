"""Thresholds of the detectors from honest traffic: where it gets to once in the budget of false positives.

Of each detector's worst statistic a principal-day, the tail above the `TAIL`-th largest is taken for exponential (peaks
over threshold; Pickands 1975, Balkema and de Haan 1974, with shape 0), and the threshold is where that tail holds the
detector's part of the budget: u + b ln(TAIL / (N p)), with u the TAIL-th largest of N, b the mean excess over it, and p
the budget shared evenly by the detectors. A detector that honest traffic hardly moves has no tail to go by: its
threshold does not go below its floor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.table import Table

from benchmarks.detection.days import Day
from benchmarks.detection.measures import BUDGET, threshold_for

TAIL: Final = 20
DIGITS: Final = 4


def tail_threshold(worst: Sequence[float], share: float, tail: int = TAIL) -> float:
    """The statistic that is exceeded in a share `share` of days, by the module's formula; 0.0 without days."""
    ordered = np.sort(np.asarray(worst, dtype=np.float64))[::-1]
    if not len(ordered):
        return 0.0
    tail = min(tail, len(ordered) - 1)
    if tail < 1:
        return float(ordered[0])
    base = ordered[tail]
    excess = float(np.mean(ordered[:tail] - base))
    return float(base + excess * max(np.log(tail / (len(ordered) * share)), 0.0))


def calibrated(
    days: Sequence[Day], used: Mapping[str, float], floors: Mapping[str, float], budget: float = BUDGET
) -> dict[str, float]:
    """New thresholds by detector, from days whose levels were taken under the thresholds `used`."""
    share = budget / len(used)
    found = {
        name: tail_threshold([day.levels.get(name, 0.0) * level_one for day in days], share)
        for name, level_one in used.items()
    }
    return {name: _rounded_up(max(value, floors.get(name, 0.0))) for name, value in found.items()}


def judges_thresholds(days: Sequence[Day], names: Sequence[str], budget: float = BUDGET) -> dict[str, float]:
    """For judges of one statistic: the threshold at which honest days stay within the budget."""
    return {name: threshold_for([day.worst[name] for day in days], budget) for name in names}


def write_thresholds(path: Path, found: Mapping[str, float], on: str, budget: float = BUDGET) -> None:
    """Write the file that `vecguard.detect.thresholds` reads."""
    document = {
        "false_positives_per_principal_day": budget,
        "calibrated_on": on,
        "detectors": dict(sorted(found.items())),
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def tail_table(days: Sequence[Day], used: Mapping[str, float], found: Mapping[str, float]) -> Table:
    """Of each detector the highest statistic of each family, and its thresholds before and now."""
    families = list(dict.fromkeys(day.family for day in days))
    table = Table(title=f"Highest statistic of {len(days):,} honest principal-days")
    for heading in ("detector", *families, "before", "now"):
        table.add_column(heading, justify="left" if heading == "detector" else "right")
    for name, level_one in used.items():
        highest = [
            max((day.levels.get(name, 0.0) for day in days if day.family == family), default=0.0) * level_one
            for family in families
        ]
        table.add_row(name, *(f"{value:.3g}" for value in (*highest, level_one, found[name])))
    return table


def _rounded_up(value: float) -> float:
    """To `DIGITS` significant digits, never below."""
    if value <= 0:
        return value
    step = 10.0 ** (np.floor(np.log10(value)) - DIGITS + 1)
    return float(f"{np.ceil(value / step) * step:.6g}")
