"""Small collections: a share of one is a handful of records, so that honest use goes through all of it in a few calls.

Of 40 records one retrieval is 2.5%, and four searches with the usual ten results can be all. What was taken from a
collection of N < `SMALL` records counts as extraction only where it is many records, too:

    least(N) = LEAST (1 - N / SMALL), 0 from SMALL on;    level = min(level, taken / least(N))

So all of a collection of 50 records is 0.53, which no rung answers, whatever else was seen; 50 records are a level of 1
at N = 500, and from `SMALL` on the level is the detector's own. `LEAST` is what a page of a demo, a first look or a
framework's statistics takes at most; with less, nobody has a data set.
"""

from __future__ import annotations

from typing import Final

SMALL: Final = 1_000
LEAST: Final = 100


def least(records: int) -> float:
    """How many records of a collection of `records` make a level of 1 at least; 0.0 from `SMALL` on."""
    return LEAST * max(0.0, 1 - records / SMALL)


def held(level: float, taken: float, records: int) -> float:
    """A detector's level, where `taken` records of a collection of `records` are what it is about."""
    floor = least(records)
    return level if floor <= 0 else min(level, taken / floor)
