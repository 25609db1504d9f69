"""What honest calls wait for detection: the same calls on a collection that enforces and on one that is not watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.detection.benign.user import Family, User, popularity
from benchmarks.detection.live import GUARDED, UNWATCHED, Proxy
from benchmarks.detection.target import ProxyTarget, Refused
from benchmarks.detection.world import World


@dataclass(frozen=True)
class Latency:
    """Median and 95th percentile of a call, milliseconds, unwatched and guarded, and how many calls were refused."""

    family: str
    calls: int
    unwatched_ms: tuple[float, float]
    guarded_ms: tuple[float, float]
    refused: int


class _Enough(Exception):
    """So many calls are enough."""


@dataclass
class _NoClock:
    now: float = 0.0


class _Some:
    """The first calls of a target, and then no more."""

    def __init__(self, target: ProxyTarget, calls: int) -> None:
        self._target, self._left = target, calls

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            if not self._left:
                raise _Enough
            self._left -= 1
            return getattr(self._target, name)(*given)

        return call


def measure_latency(proxy: Proxy, family: Family, world: World, calls: int, seed: int) -> Latency:
    """The first calls of a family's day, on both collections in turn, twice each; the second time counts."""
    refused = 0
    times: dict[str, list[float]] = {}
    for collection in (UNWATCHED, GUARDED) * 2:
        target = proxy.target(collection, family.name)
        random = np.random.default_rng(seed)
        user = User(_Some(target, calls), _NoClock(), world, random, popularity(len(world.questions.texts), random))
        try:
            family.run(user)
        except _Enough:
            pass
        except Refused:
            refused += 1
        times[collection] = target.seconds
    found = {name: tuple((1e3 * np.quantile(some, (0.5, 0.95))).tolist()) for name, some in times.items()}
    return Latency(family.name, len(times[GUARDED]), found[UNWATCHED], found[GUARDED], refused)
