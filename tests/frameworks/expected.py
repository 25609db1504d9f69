"""Exact answers, computed with numpy from the embeddings themselves: what any database should have found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frameworks.scenarios.clinic import ASKED, ENTRIES, Embedder, Entry

Predicate = Callable[[dict[str, Any]], bool]
SCORE_TOLERANCE = 1e-4


class Exact:
    """The scenarios' entries and questions as unit vectors."""

    def __init__(self, memo: Path) -> None:
        embedder = Embedder(memo)
        self.entries: NDArray[np.float32] = np.array(embedder.all(entry.text for entry in ENTRIES), np.float32)
        self.asked: NDArray[np.float32] = np.array(embedder.all(ASKED), np.float32)

    def cosines(self, question: int) -> NDArray[np.float64]:
        """Cosine of each entry (n,) to a question."""
        cosines: NDArray[np.float64] = self.entries.astype(np.float64) @ self.asked[question].astype(np.float64)
        return cosines

    def ranking(self, question: int, where: Callable[[Entry], bool] = lambda _: True) -> list[tuple[str, float]]:
        """Ids and cosines of all entries that a condition lets through, best first."""
        cosines = self.cosines(question)
        order = [int(i) for i in np.argsort(-cosines) if where(ENTRIES[int(i)])]
        return [(ENTRIES[i].id, float(cosines[i])) for i in order]

    def mmr(self, question: int, count: int, candidates: int, diversity: float) -> list[str]:
        """Ids by maximal marginal relevance: (1 - diversity) * relevance - diversity * likeness to what was taken.

        Source: Carbonell and Goldstein, SIGIR 1998; lambda is 1 - diversity.
        """
        cosines = self.cosines(question)
        left = [int(i) for i in np.argsort(-cosines)[:candidates]]
        taken: list[int] = []
        while left and len(taken) < count:
            likeness = [max((float(self.entries[i] @ self.entries[j]) for j in taken), default=0.0) for i in left]
            marginal = [
                (1 - diversity) * cosines[i] - diversity * alike for i, alike in zip(left, likeness, strict=True)
            ]
            taken.append(left.pop(int(np.argmax(marginal))))
        return [ENTRIES[i].id for i in taken]


def assert_ranked(found: Sequence[dict[str, Any]], expected: Sequence[tuple[str, float]]) -> None:
    """The hits are exactly the expected ones: ids, order, scores to 1e-4."""
    assert [hit["id"] for hit in found] == [ident for ident, _ in expected]
    scores, wanted = [hit["score"] for hit in found], [score for _, score in expected]
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=SCORE_TOLERANCE)


def assert_whole(found: Sequence[dict[str, Any]], extra: Callable[[Entry], dict[str, Any]]) -> None:
    """Every hit carries its entry's text and its metadata, which is the entry's and `extra`, types included."""
    by_id = {entry.id: entry for entry in ENTRIES}
    assert found
    for hit in found:
        entry = by_id[hit["id"]]
        assert hit["text"] == entry.text
        wanted = entry.metadata | extra(entry)
        assert hit["metadata"] == wanted
        assert {key: type(value) for key, value in hit["metadata"].items()} == {
            key: type(value) for key, value in wanted.items()
        }
