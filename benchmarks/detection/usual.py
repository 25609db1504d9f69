"""What is usual on a world's collection once honest callers are known there, by the product's own code.

They are other principals than those of the honest days: of the same families, in the same proportions, by another seed.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from benchmarks.detection.benign import FAMILIES
from benchmarks.detection.days import Honest, gathered
from vecguard.detect.analyst import registered
from vecguard.detect.detector import Detector
from vecguard.detect.detectors import crawl
from vecguard.detect.usual import CALLERS, fresh, strictness, take

SEED_STEP: Final = 1_000
"""Between the seed of a run's honest days and that of the callers who were there before."""


def usual_strictness(honest: Honest, callers: int = CALLERS) -> float:
    """How much stricter `crawl` is after about so many callers have come and gone."""
    days, state, place = sum(family.days for family in FAMILIES), fresh(), 0
    for family in FAMILIES:
        for number in range(ceil(callers * family.days / days)):
            detector, seen = crawl.Crawl(), crawl.Crawl().fresh()
            for day in honest.principal(family, number):
                for batch in gathered(day):
                    detector.update(seen, batch)
            place += 1
            means = crawl.typical(seen)
            if means is not None:
                take(state, place, means, float(place))
    return strictness(state)


def fitted(step: float) -> dict[str, Detector]:
    """The product's detectors where `crawl` is stricter by so much."""
    return {**registered(), crawl.NAME: crawl.Crawl(step=step)}
