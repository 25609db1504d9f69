"""Planted records: how many of them a caller met, against how many one meets who goes through as much as is honest.

N records are planted in the collection (`detection.canaries` of the policy). They lie among the others and no answer
holds them, so that a caller meets as large a share of them as of the collection's regions that its answers are from,
whatever it remembers, repeats or pretends. Told apart are those met by searches (within 12 to 24 hours) and by listing
(scroll, long or deep answers; within 3.5 to 7 days). The shares s that honest callers get to at most are the calibrated
ones of the detectors `coverage` and `enumeration`. Of k distinct ones met, with the mean m = s N of Poisson's law, the
chance is bounded (Chernoff 1952) by

    -log P(K >= k) >= k log(k / m) - k + m    for k > m, else 0

A third look is for records that the caller named by their ids. Nobody was ever shown one; who names one read it where
the data lie, and the chance of guessing it is 2^-54 at most (37 nats). The statistic is the largest of the three, less
log 3 for three looks, in nats: it is a p-value, and level 1 is the budget's, shared among the detectors.

For a caller that wrote half of the collection (HyperLogLog of 256 registers, standard error 6.5%) searches and listing
do not count: it reads its own. Of a collection of fewer than 1,000 records what it went through, by the share of the
planted, has to be many records, too (`vecguard.detect.small`).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import joined_ids, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.detectors.coverage import PERIOD_S, turn
from vecguard.detect.detectors.enumeration import lists
from vecguard.detect.observation import NAMED, Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import hyperloglog
from vecguard.detect.statistics.decay import DAY_S
from vecguard.detect.thresholds import threshold

NAME: Final = "canaries"
WRITER_BITS: Final = 8
OWNER_SHARE: Final = 0.5
LISTED_PERIOD_S: Final = 3.5 * DAY_S
LOOKS: Final = 3
NAMED_NATS: Final = 37.0

_SEARCHED, _LISTED, _PLANTED = range(3)


class Canaries:
    """See the module. State: `searched` and `listed`, bitmaps of this period and the one before, (2, 32); `named`, a
    bitmap; `written`, registers; `sums`: the numbers of the two periods, and N."""

    name = NAME
    most_bytes = 5 * NAMED // 8 + (1 << WRITER_BITS) // 2 + 24

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """None was met."""
        two = np.zeros((2, NAMED // 8), np.uint8)
        return {
            "searched": two,
            "listed": two.copy(),
            "named": np.zeros(NAMED // 8, np.uint8),
            "written": hyperloglog.empty(WRITER_BITS),
            "sums": np.zeros(3),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Mark those met. A batch is taken as of its last call, which costs hours of nothing."""
        searched, listed, sums = octets(state, "searched"), octets(state, "listed"), doubles(state, "sums")
        if batch:
            _turn(searched, sums, _SEARCHED, batch[-1].time / PERIOD_S)
            _turn(listed, sums, _LISTED, batch[-1].time / LISTED_PERIOD_S)
            sums[_PLANTED] = batch[-1].planted
        hyperloglog.add(octets(state, "written"), joined_ids([one.written for one in batch]))
        for one in batch:
            if one.canaries.size:
                named = one.canaries >= NAMED
                _mark(octets(state, "named"), one.canaries[named] - NAMED)
                _mark((listed if lists(one) else searched)[0], one.canaries[~named])
        return self._evidence(state, records(batch))

    def _evidence(self, state: State, size: int) -> Evidence:
        planted = int(doubles(state, "sums")[_PLANTED])
        counts = [_count(octets(state, name)[0] | octets(state, name)[1]) for name in ("searched", "listed")]
        named = _count(octets(state, "named"))
        shares = (threshold("coverage"), threshold("enumeration"))
        owner = hyperloglog.estimate(octets(state, "written")) >= OWNER_SHARE * size
        nats = [0.0 if owner else rarity(k, s * planted) for k, s in zip(counts, shares, strict=True)]
        gone_through = max(counts) / max(planted, 1) * size
        by_chance = held(max(0.0, max(nats) - log(LOOKS)) / self._level_one, gone_through, size)
        by_name = max(0.0, NAMED_NATS - log(LOOKS)) / self._level_one if named else 0.0
        reason = (
            f"of {planted} planted records, which no answer holds, searches met {counts[0]} within a day, and listing "
            f"{counts[1]} within a week; {named} were asked for by ids that nobody was ever shown"
        )
        return Evidence(NAME, max(by_chance, by_name), reason)


def rarity(count: int, mean: float) -> float:
    """A lower bound of -log P(K >= count), K of Poisson's law with this mean; 0 where `count` is not above it."""
    if count <= mean or mean <= 0:
        return 0.0
    return count * log(count / mean) - count + mean


def _turn(pair: NDArray[np.uint8], sums: NDArray[np.float64], place: int, now: float) -> None:
    turn(pair, steps=int(now) - int(sums[place]))
    sums[place] = max(sums[place], int(now))


def _mark(bitmap: NDArray[np.uint8], numbers: NDArray[np.uint16]) -> None:
    numbers = numbers[numbers < NAMED]
    np.bitwise_or.at(bitmap, numbers >> 3, (1 << (numbers & 7)).astype(np.uint8))


def _count(bitmap: NDArray[np.uint8]) -> int:
    return int.from_bytes(bitmap.tobytes()).bit_count()


DETECTOR: Final = Canaries()
