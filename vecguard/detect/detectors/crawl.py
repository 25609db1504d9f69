"""Crawling against asking: a sequential test on what each question that brought something new looks like.

Wald 1945 (sequential probability ratio), in Page's form. A question's evidence is the log odds of a logistic model,
fitted on the crawlers and the honest families of benchmarks/detection over SQuAD with all-MiniLM-L6-v2, each family
with the same weight, and moved by 1 to where honest questions of other collections end too; it speaks for crawling
by what it got away with, the n records whose content (payload or vectors) left and that were not among the last 1,280
to 2,560 returned:

    z = 0.88 - 1.5 log(b / 0.08) + 12.5 (s_1 - 0.55) - 19.7 (s_4 - 0.45) + 0.85 u + 0.14 r - 1.8 c, within -1 and 1.5
    S = max(0, S + z min(n / 10, 2)) where z > 0, max(0, S + z) where not

b says how much the best records stand out (see `aimless`); s_1 and s_4 are the best and the fourth best score, cosines;
u whether the best record was returned by an earlier call, r the share of such records in the rest of the answer; c the
largest cosine with one of the 48 queries before, those that are the same left out. A crawler's queries lie farther
from the records than questions do, and farther from each other; good questions in between excuse little of that.
log(b / 0.08) is held within -2 and 2; where an answer has fewer than three scores, or none that are cosines, such terms
are 0. Phrasings of one question in one call (cosine 0.5 with the first of them) are one question, with the mean of
their z. Questions with n = 0 do not count. The statistic is S, with a half-life of a day. Of a collection of fewer than
1,000 records, which lie so far apart that any question is far from the fourth of them, the records with new content
have to be many, too (`vecguard.detect.small`).

s_1 and s_4 are absolute, and what is odd in one collection is ordinary in another: where a collection's own callers
allow it, z is larger by a step, of those queries whose scores say something (`vecguard.detect.usual`). For that, a
state has what its caller's questions would add to S with each of `STEPS` (`typical`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import Answers, answers, lets_content_leave, phrasings, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.detectors.aimless import standing_out
from vecguard.detect.observation import SKETCH_DIMS, Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, halves, octets
from vecguard.detect.statistics import cusum, decay, ring, seen
from vecguard.detect.thresholds import calibrated, threshold

NAME: Final = "crawl"
SEEN_IDS: Final = 1280
WINDOW: Final = 48
FOURTH: Final = 4
SAME: Final = 0.9995
MOST: Final = 1.5
LEAST: Final = -1.0
FULL: Final = 10
"""New records that let a question weigh once."""
HEAVIEST: Final = 2.0
STEPS: Final = (0.25, 0.5, 0.75, 1.0)
"""By which z may be larger."""
LEAST_ASKED: Final = 5
"""Questions that say what is typical of a caller."""

BIAS: Final = 0.88
WEIGHTS: Final = np.array([-1.5, 12.5, -19.7, 0.85, 0.14, -1.8])
"""Of log(b / 0.08), s_1 - 0.55, s_4 - 0.45, u, r and c."""

_TIME, _SUM, _QUERIES, _SUSPECT, _TAKEN = range(5)
_ASKED: Final = 0


class Crawl:
    """See the module. State: `seen`, records returned; `window`, the latest queries; `sums`: the time they are of, S,
    how many questions brought new content, how many of them spoke for crawling, and how many records were new;
    `asked`: how many these questions are, and for each of `STEPS` the sum of e^(theta x) over them."""

    name = NAME
    most_bytes = 2 * SEEN_IDS * seen.BITS_PER_ID // 8 + WINDOW * SKETCH_DIMS * 2 + 48 + 8 * len(STEPS)

    def __init__(self, level_one: float | None = None, step: float = 0.0) -> None:
        """`step` is added to the z of queries whose scores say something."""
        self._level_one = threshold(NAME) if level_one is None else level_one
        self._step = step

    def stricter(self, step: float) -> Crawl:
        """The same, for a collection whose callers allow it to be stricter by so much."""
        return Crawl(self._level_one, step)

    def fresh(self) -> State:
        """Nothing asked yet."""
        state: State = {"seen": seen.empty(SEEN_IDS), "window": ring.empty(WINDOW)}
        return {**state, "sums": np.zeros(5), "asked": np.zeros(1 + len(STEPS))}

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Weigh queries, oldest first."""
        sums, asked = doubles(state, "sums"), doubles(state, "asked")
        kept = decay.since(sums, _TIME, batch)
        sums[_SUM:] *= kept
        asked *= kept
        table = answers(batch)
        if len(table.queries):
            known = seen.met_before(octets(state, "seen"), table.ids, table.call[table.query])
            near = _nearest(state, table.queries)
            question = phrasings(table)
            content = np.array([lets_content_leave(one) for one in batch], np.bool_)
            new = _new(table, known, question) * content[table.call]
            sums[_TAKEN] += new.sum()
            scale = standing_out(table)
            odds = BIAS + features(table, scale, known, near) @ WEIGHTS
            says = np.isfinite(scale)
            drifts = _drifts(odds + self._step * says, question, new)
            if drifts.size:
                asked[_ASKED] += drifts.size
                theta = exponent()
                for place, step in enumerate(STEPS, start=_ASKED + 1):
                    asked[place] += np.exp(theta * _drifts(odds + step * says, question, new)).sum()
                sums[_SUM] = cusum.end(float(sums[_SUM]), drifts)
                sums[_QUERIES] += drifts.size
                sums[_SUSPECT] += (drifts > 0).sum()
        reason = (
            f"{sums[_SUSPECT]:.0f} of the {sums[_QUERIES]:.0f} searches that brought new records look like a "
            "crawler's: far from what is stored and from each other, or led by what was shown before"
        )
        level = float(sums[_SUM]) / self._level_one
        return Evidence(NAME, held(level, float(sums[_TAKEN]), records(batch)), reason)


def _new(table: Answers, known: NDArray[np.bool_], question: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many records that were not known each question's phrasings found together: (q,), at its first."""
    of = question[table.query]
    order = np.lexsort((table.ids, of))
    ids, of = table.ids[order], of[order]
    again = np.zeros(len(ids), np.bool_)
    again[1:] = (ids[1:] == ids[:-1]) & (of[1:] == of[:-1])
    weights = (~known[order] & ~again).astype(np.float64)
    return np.bincount(of, weights=weights, minlength=len(question)).astype(np.float64)


@cache
def exponent() -> float:
    """theta of `vecguard.detect.usual`: with it, S reaches its threshold in its share of the budget of false positives
    where the mean of e^(theta x) is 1."""
    given = calibrated()
    share = given.false_positives_per_principal_day / len(given.detectors)
    return -log(share) / threshold(NAME)


def typical(state: State) -> list[float] | None:
    """Of a caller's questions that brought new content, which fade as S does, the mean of e^(theta x) with each of
    `STEPS`; None where they are too few."""
    count, *sums = doubles(state, "asked").tolist()
    return [total / count for total in sums] if round(count) >= LEAST_ASKED else None


def _drifts(odds: NDArray[np.float64], question: NDArray[np.int64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """What each question with anything new adds to S, in their order."""
    within = np.clip(odds, LEAST, MOST)
    phrased = np.bincount(question, minlength=len(odds))
    mean = np.bincount(question, weights=within, minlength=len(odds)) / np.maximum(phrased, 1)
    weighed = np.where(mean > 0, mean * np.minimum(new / FULL, HEAVIEST), mean)
    return weighed[new >= 1]


def features(
    table: Answers, scale: NDArray[np.float64], known: NDArray[np.bool_], near: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What the model reads of each query: (q, 6) in the order of `WEIGHTS`.

    `scale` (q,): `standing_out`; `known` (n,): whether each record was returned by an earlier call; `near` (q,): c of
    the module.
    """
    says = np.isfinite(scale)
    stands = np.log(np.maximum(np.where(says, scale, 0.08), 1e-3) / 0.08)
    fourth = np.full(len(table.queries), np.nan)
    fourth[says] = table.scores[(table.first + np.minimum(table.count, FOURTH) - 1)[says]]
    read = np.zeros((len(scale), len(WEIGHTS)))
    read[:, 0] = np.minimum(np.maximum(stands, -2), 2)
    read[:, 1] = np.where(says, table.best(table.scores, absent=np.nan) - 0.55, 0.0)
    read[:, 2] = np.where(says, fourth - 0.45, 0.0)
    read[:, 3] = led = table.best(known, absent=0.0)
    read[:, 4] = (table.sums(known) - led) / np.maximum(table.count - 1, 1)
    read[:, 5] = near
    return read


def _nearest(state: State, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """The largest cosine of each query with the `WINDOW` before it, 0 where there is none but the same; they join."""
    window = halves(state, "window")
    nearest = np.zeros(len(queries), np.float32)
    for start in range(0, len(queries), WINDOW):
        part = queries[start : start + WINDOW]
        cosines = ring.cosines(part, window)
        cosines[cosines > SAME] = 0.0
        np.copyto(cosines, np.float32(0), where=~ring.window_of(len(part), WINDOW))
        nearest[start : start + WINDOW] = np.maximum(cosines.max(axis=1), 0.0)
        ring.push(window, part)
    return nearest


DETECTOR: Final = Crawl()
