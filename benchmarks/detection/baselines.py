"""Published detectors of extraction by queries, and a plain rate limit, over the same observations.

Both papers watch one client's queries to an image classifier. Here a query is the sketch of an embedding, whose
distances are those of the embeddings up to the sketch's error; PRADA's classes are the record that came first, by a
coarse cell of its query, since a vector store has no classes. Thresholds are set by the same budget of false positives
as the product's, on the same traffic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.judges import See
from vecguard.detect.observation import Observation

HOUR_S: Final = 3_600.0


class RateLimit:
    """The most records that left within an hour: what a limit of so many an hour would have to be above."""

    name = "rate limit"

    def fresh(self) -> See:
        """An empty hour."""
        within: deque[tuple[float, int]] = deque()

        def see(batch: Sequence[Observation]) -> float:
            for one in batch:
                within.append((one.time, len(one.ids)))
            while within and within[0][0] < batch[-1].time - HOUR_S:
                within.popleft()
            return float(sum(count for _, count in within))

        return see


class Prada:
    """PRADA (Juuti, Szyller, Marchal and Asokan, EuroS&P 2019): the smallest distance of each query to the earlier ones
    of its class is normally distributed for honest clients. Of these distances, those within three standard deviations
    of their mean are tested by Shapiro and Wilk's W; the statistic is 1 - W. A query joins its class's growing set
    where its distance is above the set's threshold, mean less one standard deviation of those of its members."""

    name = "PRADA"
    CELLS: Final = 8
    LEAST: Final = 100
    MOST: Final = 1_000
    EVERY: Final = 20

    def fresh(self) -> See:
        """No queries."""
        return _PradaState(self)


class _PradaState:
    def __init__(self, made: Prada) -> None:
        self._made = made
        self._sets: list[list[NDArray[np.float32]]] = [[] for _ in range(made.CELLS)]
        self._joined: list[list[float]] = [[] for _ in range(made.CELLS)]
        self._distances: deque[float] = deque(maxlen=made.MOST)
        self._since, self._said = 0, 0.0

    def __call__(self, batch: Sequence[Observation]) -> float:
        for one in batch:
            for row in one.queries:
                self._add(row)
        if self._since >= self._made.EVERY and len(self._distances) >= self._made.LEAST:
            self._since = 0
            self._said = self._statistic()
        return self._said

    def _add(self, row: NDArray[np.float32]) -> None:
        cell = int((row[0] > 0) + 2 * (row[1] > 0) + 4 * (row[2] > 0))
        members, joined = self._sets[cell], self._joined[cell]
        if members:
            distance = float(np.sqrt(np.min(np.sum((np.stack(members) - row) ** 2, axis=1))))
            self._distances.append(distance)
            self._since += 1
            threshold = max(0.0, float(np.mean(joined) - np.std(joined))) if joined else 0.0
            if distance <= threshold:
                return
            joined.append(distance)
        members.append(row)
        if len(members) > self._made.MOST // self._made.CELLS:  # bounded here; the paper keeps all
            members.pop(0)

    def _statistic(self) -> float:
        from scipy.stats import shapiro

        found = np.array(self._distances)
        kept = found[np.abs(found - found.mean()) <= 3 * found.std()]
        if len(kept) < 20 or np.ptp(kept) == 0:
            return 1.0
        return float(1 - shapiro(kept).statistic)


class Chen:
    """Stateful detection (Chen, Carlini and Wagner, arXiv:1907.05587, 2019): the mean distance of a query to its k = 50
    nearest among the last 1,000; an attack that goes step by step has it small. The statistic is 2 less that distance.
    (The paper embeds queries by a learnt similarity encoder; embeddings of text are one.)"""

    name = "Chen et al."
    NEIGHBOURS: Final = 50
    MOST: Final = 1_000

    def fresh(self) -> See:
        """No queries."""
        from vecguard.detect.observation import SKETCH_DIMS

        kept = np.zeros((self.MOST, SKETCH_DIMS), np.float32)
        count = 0

        def see(batch: Sequence[Observation]) -> float:
            nonlocal count
            worst = 0.0
            for row in (row for one in batch for row in one.queries):
                have = min(count, self.MOST)
                if have >= self.NEIGHBOURS:
                    squares = np.sum((kept[:have] - row) ** 2, axis=1)
                    nearest = np.partition(squares, self.NEIGHBOURS - 1)[: self.NEIGHBOURS]
                    worst = max(worst, 2.0 - float(np.sqrt(nearest).mean()))
                kept[count % self.MOST] = row
                count += 1
            return worst

        return see
