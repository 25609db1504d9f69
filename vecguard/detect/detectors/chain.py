"""Chained queries: a crawler asks about what it was just shown, so its answers are led by records it was shown before.

Corpus-guided crawlers (RAGCrawler 2026, IKEA 2025, "Pirates of the RAG" 2024) and walks over nearest neighbours all
take their next query from earlier answers. The record that a query was taken from then comes first in its answer, and
came further down in an earlier one. Questions that were asked without regard to the answers meet known records in the
first place no more often than in the others.

For each query whose answer let content of three records or more leave, with u = 1 where its best record was returned by
an earlier call but led one at most, and r the share of such records in the rest of it (of the last 1,280 to 2,560
distinct records; of the last 384 to 768 leading ones):

    S = max(0, S + u - r - 0.2)

Who stays with one document is led by the same record again, which does not count. The statistic is S, in queries, with
a half-life of a day. Of a collection of fewer than 1,000 records, whose every record is soon known, the new ones have
to be many, too (`vecguard.detect.small`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.answers import answers, lets_content_leave, records
from vecguard.detect.detector import Evidence, State
from vecguard.detect.observation import Observation
from vecguard.detect.small import held
from vecguard.detect.state import doubles, octets
from vecguard.detect.statistics import cusum, decay, seen
from vecguard.detect.thresholds import threshold

NAME: Final = "chain"
SEEN_IDS: Final = 1280
LED_IDS: Final = 384
SLACK: Final = 0.2
LEAST_RECORDS: Final = 3
"""Of an answer: with fewer, what chance would do is not told by the rest."""

_TIME, _SUM, _QUERIES, _CHAINED, _REST, _TAKEN = range(6)


class Chain:
    """See the module. State: `seen`, `led` and `led_twice`, the records returned, and those first in one answer and in
    two; `sums`: the time they are of, S, how many queries, the sum of u, that of r, and how many records were new."""

    name = NAME
    most_bytes = 2 * (SEEN_IDS + 2 * LED_IDS) * seen.BITS_PER_ID // 8 + 48

    def __init__(self, level_one: float | None = None) -> None:
        self._level_one = threshold(NAME) if level_one is None else level_one

    def fresh(self) -> State:
        """Nothing returned yet."""
        return {
            "seen": seen.empty(SEEN_IDS),
            "led": seen.empty(LED_IDS),
            "led_twice": seen.empty(LED_IDS),
            "sums": np.zeros(6),
        }

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Count chained queries, oldest first."""
        sums = doubles(state, "sums")
        sums[_SUM:] *= decay.since(sums, _TIME, batch)
        table = answers(batch)
        known = seen.met_before(octets(state, "seen"), table.ids, table.call[table.query])
        content = np.array([lets_content_leave(one) for one in batch], np.bool_)
        counts = content[table.call] & (table.count >= LEAST_RECORDS)
        if counts.any():
            sums[_TAKEN] += table.sums(~known)[counts].sum()
            best = table.best(known, absent=0.0)
            rest = (table.sums(known) - best) / np.maximum(table.count - 1, 1)
            led = np.ones(len(best), np.bool_)
            led[counts] = _led_twice(state, table.ids[table.first[counts]])
            chained = (best * ~led)[counts]
            sums[_SUM] = cusum.end(float(sums[_SUM]), chained - rest[counts] - SLACK)
            sums[[_QUERIES, _CHAINED, _REST]] += len(chained), chained.sum(), rest[counts].sum()
        level = float(sums[_SUM]) / self._level_one
        return Evidence(NAME, held(level, float(sums[_TAKEN]), records(batch)), _reason(sums))


def _led_twice(state: State, leading: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of these leading records led two answers before; they are added."""
    once = seen.met_before(octets(state, "led"), leading)
    twice = np.zeros(len(leading), np.bool_)
    twice[once] = seen.met_before(octets(state, "led_twice"), leading[once])
    return twice


def _reason(sums: NDArray[np.float64]) -> str:
    return (
        f"{sums[_CHAINED]:.0f} of {sums[_QUERIES]:.0f} answers were led by a record that an earlier one had shown "
        f"further down, where {sums[_REST]:.0f} would be chance: queries are being made from answers"
    )


DETECTOR: Final = Chain()
