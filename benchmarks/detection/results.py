"""All that a run of the lab found, as it is written to JSON and read back for tables, plots and the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.detection.campaign import Outcome
from benchmarks.detection.cost import Cost
from benchmarks.detection.crowds import CrowdDay, Dealt
from benchmarks.detection.days import Day
from benchmarks.detection.guarded import Guarded
from benchmarks.detection.latency import Latency
from benchmarks.detection.measures import Rate, rate


@dataclass(frozen=True)
class Attacked:
    """What an attack reaches when nobody stops it: calls recorded, shares of records and vectors, calls until 5% of the
    records had left and until a cosine of 0.9 was reached (None: never)."""

    attack: str
    goal: str
    calls: int
    records: float
    vectors: float
    to_five_percent: int | None
    to_recovered: int | None


@dataclass(frozen=True)
class Alarms:
    """Alarms of one honest family: principal-days on which the statistic reached the threshold, and the leader."""

    family: str
    days: int
    calls: int
    rate: Rate
    leader: str


@dataclass(frozen=True)
class Results:
    """`outcomes`: the product's, of all variants; `first`: those of unhidden single accounts where nobody asked before;
    `usual_strictness`: how much stricter `crawl` is in all else. `baselines`: of each judge by name, unhidden single
    accounts.
    `alarms`: by judge (and for the product by rung, as `VecGuard: alert`), over families and in all (family `all`).
    `crowds`: honest days of many callers looked at together; `dealt`: attacks by several accounts, looked at so."""

    machine: dict[str, Any]
    plan: dict[str, Any]
    reported_on: str
    calibrated_on: str
    usual_strictness: float
    ladder: dict[str, float]
    thresholds: dict[str, float]
    judges: dict[str, float]
    attacked: list[Attacked]
    outcomes: list[Outcome]
    first: list[Outcome]
    baselines: dict[str, list[Outcome]]
    alarms: dict[str, list[Alarms]]
    honest_worst: dict[str, list[float]]
    guarded: list[Guarded]
    latency: list[Latency]
    crowds: list[CrowdDay]
    dealt: list[Dealt]
    cost: Cost
    seconds: dict[str, float]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


def alarms_of(days: Sequence[Day], judge: str, threshold: float) -> list[Alarms]:
    """Alarms by family, and of all together, at a threshold of a judge's statistic."""
    families = [*dict.fromkeys(day.family for day in days), "all"]
    return [_alarms(name, [day for day in days if name in (day.family, "all")], judge, threshold) for name in families]


def _alarms(name: str, days: Sequence[Day], judge: str, threshold: float) -> Alarms:
    raised = [day for day in days if day.worst[judge] >= threshold]
    leaders = [max(day.levels, key=day.levels.__getitem__) for day in raised if day.levels]
    leader = max(set(leaders), key=leaders.count) if leaders else ""
    return Alarms(name, len(days), sum(day.calls for day in days), rate(len(raised), len(days)), leader)
