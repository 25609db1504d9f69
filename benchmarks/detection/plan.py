"""How much of everything a run of the lab takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from benchmarks.detection.campaign import MIXES, PACES, SYBILS, Variant
from benchmarks.detection.world import QUICK as QUICK_SIZES
from benchmarks.detection.world import Sizes

MOST_CALLS: Final = {0.0: 400, 0.5: 120, 0.9: 60}
"""Calls of an attack that a campaign deals at most, by the share of honest calls between them."""


@dataclass(frozen=True)
class Plan:
    """`days`: what share of each honest family's days; `live`: of an attack's calls against the proxy; `crowd`: honest
    calls recorded to hide in; `crowd_days`: days of honest crowds of each family; `timed`: calls of each family whose
    latency is taken; `principals`: full profiles that are held in memory at once."""

    sizes: Sizes = field(default_factory=Sizes)
    days: float = 1.0
    live: float = 1.0
    crowd: int = 1_000
    crowd_days: int = 60
    timed: int = 40
    principals: int = 10_000
    variants: tuple[Variant, ...] = tuple(Variant(s, m, p) for s in SYBILS for m in MIXES for p in PACES)
    seed: int = 23
    in_memory: bool = False
    """Whether attacks are recorded against exact search in memory, and not against the proxy."""


FULL: Final = Plan()
QUICK: Final = Plan(
    sizes=QUICK_SIZES,
    days=0.05,
    live=0.1,
    crowd=120,
    crowd_days=4,
    timed=12,
    principals=1_000,
    variants=(Variant(), Variant(sybils=8), Variant(mix=0.5)),
)
CALIBRATION_SEED: Final = 7
"""Of the honest traffic that thresholds are made from; runs use `Plan.seed`, on another data set."""
