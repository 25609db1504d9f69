"""Callers looked at together: what honest crowds get to in a day, and how much of a dealt attack is gone when told.

Where each caller stands by itself does not depend on the others, so it is worked out once for each honest
principal-day; days of crowds are drawn from them. Standings are of the detectors that look at crowds alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Final, NamedTuple

import numpy as np

from benchmarks.detection.benign.user import DAY_S, Family
from benchmarks.detection.days import Honest, gathered
from benchmarks.detection.recording import Gone, Leaving, Recording
from vecguard.detect.analyst import Standing, standing_of, weigh
from vecguard.detect.detector import Detector
from vecguard.detect.detectors.crawl import Crawl
from vecguard.detect.linking import CROWDS, LINKED, crowds_of, linked, look
from vecguard.detect.observation import Observation
from vecguard.detect.store import Profile
from vecguard.detect.thresholds import threshold
from vecguard.policy.detection import DetectionRule

CROWD_FAMILIES: Final = ("Zipf sessions", "multi-query RAG", "answer evaluation", "recommend by id", "dashboards")
"""Honest traffic of which one collection may have many callers, the most usual first."""
MIXED: Final = "all of them"
CALLERS: Final = 32
"""Of an honest crowd."""
_AT_ONCE: Final = 8
_RULE: Final = DetectionRule()


class Call(NamedTuple):
    """One call, at seconds since midnight, and where its caller stood before it."""

    at: float
    seen: Observation
    standing: Standing


@dataclass(frozen=True)
class CrowdDay:
    """One honest day of `callers` of a family: their calls, and the highest risk of either crowd."""

    family: str
    callers: int
    calls: int
    worst: float


@dataclass(frozen=True)
class Dealt:
    """An attack dealt to accounts beside honest callers: after how many of its calls operators were told (None: never),
    and what had left by then, or in the end."""

    attack: str
    sybils: int
    honest: int
    calls: int | None
    of: int
    gone: Gone


def alone(seen: Sequence[Observation], step: float = 0.0) -> list[Call]:
    """A caller's calls, with where it stood before each; `step`: how much stricter `crawl` is."""
    detectors = _stricter({one.name: one(threshold(one.name)) for one in LINKED}, step)
    profile, calls = Profile(), list[Call]()
    for batch in gathered(seen):
        standing = standing_of(profile, batch[0].time)
        calls += [Call(one.time % DAY_S, one, standing) for one in batch]
        weigh(profile, batch, detectors, _RULE)
    return calls


def _stricter(detectors: Mapping[str, Detector], step: float) -> Mapping[str, Detector]:
    return {name: one.stricter(step) if isinstance(one, Crawl) else one for name, one in detectors.items()}


def honest_bank(honest: Honest, family: Family, principals: Iterable[int], step: float = 0.0) -> list[list[Call]]:
    """The days of some principals of a family."""
    return [alone(seen, step) for number in principals for seen in honest.principal(family, number)]


def together(days: Sequence[Sequence[Call]], step: float = 0.0) -> Iterator[tuple[list[Call], float]]:
    """Calls of several callers in the order of time, some at once, and the highest risk of the crowds after them."""
    crowds, detectors = {name: Profile() for name in CROWDS}, _stricter(linked(), step)
    calls = list(merge(*days, key=lambda call: call.at))
    for start in range(0, len(calls), _AT_ONCE):
        batch = calls[start : start + _AT_ONCE]
        for name, crowd in crowds.items():
            mine = [replace(call.seen, time=call.at) for call in batch if name in crowds_of(call.standing, _RULE)]
            if mine:
                look(crowd, mine, detectors, _RULE)
        yield batch, max(crowd.risk for crowd in crowds.values())


def crowd_day(family: str, days: Sequence[Sequence[Call]], step: float = 0.0) -> CrowdDay:
    """One day of a crowd."""
    worst = max((risk for _, risk in together(days, step)), default=0.0)
    return CrowdDay(family, len(days), sum(map(len, days)), worst)


def drawn(family: str, number: int, bank: Sequence[Sequence[Call]], seed: int, step: float = 0.0) -> CrowdDay:
    """The day of a crowd of `CALLERS`, or as many as there are, drawn from a bank of days."""
    random = np.random.default_rng([seed, number, *family.encode()])
    return crowd_day(family, [bank[at] for at in random.permutation(len(bank))[:CALLERS]], step)


def dealt(recording: Recording, sybils: int, beside: Sequence[Sequence[Call]], most: int, step: float = 0.0) -> Dealt:
    """Deal an attack to accounts in turn, over the hours in which honest callers call, and see when it is told."""
    seen = recording.seen[:most]
    times = _spread(len(seen), beside)
    accounts = [
        alone([replace(seen[at], time=times[at]) for at in range(number, len(seen), sybils)], step)
        for number in range(min(sybils, len(seen)))
    ]
    mine = {id(call.seen) for account in accounts for call in account}
    leaving, made = Leaving(recording.records), 0
    for batch, risk in together([*accounts, *beside], step):
        for call in batch:
            if id(call.seen) in mine:
                leaving.add(call.seen)
                made += 1
        if risk >= _RULE.ladder.rungs[1][1]:
            return Dealt(recording.name, sybils, len(beside), made, len(seen), leaving.gone)
    return Dealt(recording.name, sybils, len(beside), None, len(seen), leaving.gone)


def _spread(calls: int, beside: Sequence[Sequence[Call]]) -> list[float]:
    """Times for so many calls: evenly over the middle half of the honest ones, or one a second where there are none."""
    honest = np.array([call.at for day in beside for call in day])
    if not len(honest):
        return [float(at) for at in range(calls)]
    first, last = np.quantile(honest, (0.25, 0.75))
    return np.linspace(first, last, calls).tolist()
