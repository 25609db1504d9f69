"""From measures to figures: what each route does and costs, beside the bare pass-through, and whether the aims are met.

Pure arithmetic. A ratio of rates is taken within a round, and the median over the rounds is given, because what else
the machine did in a round slowed all its routes. CPU is summed over rounds first, as calls are.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from benchmarks.overhead import Measure
from benchmarks.routes import BARE, DEFAULT, DETECT, NOISE

SEARCHES = ("search", "search with payload")
PHASES = ("upsert", *SEARCHES)
MOST_ADDED_CPU = 0.5
LEAST_UPSERT_RATIO = 0.8
LEAST_PROTECTED_PER_S = 30_000
# What the routes without re-ranking add to a search.
_ADDS = {NOISE.key: "protection", DETECT.key: "protection and detection"}


@dataclass(frozen=True)
class Row:
    """One route in one phase at one number of dimensions.

    Rates are medians over rounds, latencies are percentiles over all calls (milliseconds), CPU is per call
    (microseconds) over all rounds. `one_*` are of a single closed loop; zero for upserts, which have none.
    The ratios compare with the bare pass-through.
    """

    dims: int
    phase: str
    route: str
    calls: int
    per_s: float
    p50_ms: float
    p99_ms: float
    one_p50_ms: float
    one_p99_ms: float
    middle_cpu_us: float
    engine_cpu_us: float
    client_cpu_us: float
    rate_ratio: float
    middle_cpu_ratio: float
    total_cpu_ratio: float


@dataclass(frozen=True)
class Aim:
    """One aim with the figure measured, the bound it is held against, and whether it is met."""

    what: str
    measured: float
    bound: str
    met: bool


def summarise(measures: list[Measure], batch: int) -> list[Row]:
    """A row for every dims, phase and route; one route must be the bare pass-through.

    An upsert's rate is in points per second, `batch` points a call.
    """
    dims = sorted({measure.dims for measure in measures})
    routes = list(dict.fromkeys(measure.route for measure in measures))
    return [_row(measures, d, phase, route, batch) for d in dims for phase in PHASES for route in routes]


def aims(rows: list[Row]) -> list[Aim]:
    """The aims that one run over all routes can decide."""
    found = []
    for row in rows:
        if row.route in _ADDS and row.phase in SEARCHES:
            added = row.middle_cpu_ratio - 1
            what = f"{row.dims} dims, {row.phase}: CPU added by {_ADDS[row.route]} / bare pass-through's"
            found.append(Aim(what, added, f"<= {MOST_ADDED_CPU}", added <= MOST_ADDED_CPU))
        if row.route == DEFAULT.key and row.phase == "upsert":
            what = f"{row.dims} dims: bulk upsert by default policy / bare pass-through's"
            met = row.rate_ratio >= LEAST_UPSERT_RATIO
            found.append(Aim(what, row.rate_ratio, f">= {LEAST_UPSERT_RATIO}", met))
    return found


def protection_aim(vectors_per_s: float) -> Aim:
    """The aim for protecting alone, at 768 dims in batches of 100 on one core."""
    what = "768 dims: vectors protected per second and core"
    return Aim(what, vectors_per_s, f">= {LEAST_PROTECTED_PER_S}", vectors_per_s >= LEAST_PROTECTED_PER_S)


def _row(measures: list[Measure], dims: int, phase: str, route: str, batch: int) -> Row:
    mine = _chosen(measures, dims, phase, route)
    bare = _chosen(measures, dims, phase, BARE.key)
    alone = _chosen(measures, dims, f"{phase}, one", route)
    points = batch if phase == "upsert" else 1
    p50, p99 = _percentiles(mine)
    one_p50, one_p99 = _percentiles(alone)
    middle, engine, client = _cpu_us(mine)
    bare_middle, bare_engine, _ = _cpu_us(bare)
    return Row(
        dims=dims,
        phase=phase,
        route=route,
        calls=sum(measure.calls for measure in mine),
        per_s=median(points * measure.calls / measure.seconds for measure in mine),
        p50_ms=p50,
        p99_ms=p99,
        one_p50_ms=one_p50,
        one_p99_ms=one_p99,
        middle_cpu_us=middle,
        engine_cpu_us=engine,
        client_cpu_us=client,
        rate_ratio=median(_rate(a) / _rate(b) for a, b in zip(mine, bare, strict=True)),
        middle_cpu_ratio=middle / bare_middle if bare_middle else float("nan"),
        total_cpu_ratio=(middle + engine) / (bare_middle + bare_engine) if bare_middle else float("nan"),
    )


def _chosen(measures: list[Measure], dims: int, phase: str, route: str) -> list[Measure]:
    """The measures of one route's phase by round."""
    found = [m for m in measures if (m.dims, m.phase, m.route) == (dims, phase, route)]
    return sorted(found, key=lambda measure: measure.round)


def _rate(measure: Measure) -> float:
    return measure.calls / measure.seconds


def _percentiles(measures: list[Measure]) -> tuple[float, float]:
    latencies = [latency for measure in measures for latency in measure.latencies_ms]
    if not latencies:
        return 0.0, 0.0
    p50, p99 = np.percentile(latencies, [50, 99])
    return float(p50), float(p99)


def _cpu_us(measures: list[Measure]) -> tuple[float, float, float]:
    """CPU per call of middle, engine and client over all rounds."""
    calls = sum(measure.calls for measure in measures)
    if not calls:
        return 0.0, 0.0, 0.0
    middle = sum(measure.middle_cpu_s for measure in measures)
    engine = sum(measure.engine_cpu_s for measure in measures)
    client = sum(measure.client_cpu_s for measure in measures)
    return 1e6 * middle / calls, 1e6 * engine / calls, 1e6 * client / calls
