"""Search as the proxy does it, without a database: an exact scan of the protected vectors, and the proxy's own
certificate, page sizes, opening and scoring (`vecguard.rerank`, `vecguard.shield`)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.defence import Stored, nearest
from vecguard.audit.linear import unit
from vecguard.dense_shield import DenseShield
from vecguard.metric import scores
from vecguard.policy.model import RerankRule
from vecguard.rerank import Certificate, kth_score, predicted_page, top_k

Floats = NDArray[np.float32]


@dataclass
class _Search:
    """One query: what was opened so far, by row, and how the proxy decides that it is enough."""

    shield: DenseShield
    stored: Stored
    query: Floats
    k: int
    exact: dict[int, float] = field(default_factory=dict)
    read: int = 0

    def answer(self) -> list[int]:
        """Rows of the best, by exact score."""
        rows = list(self.exact)
        exact = np.array([self.exact[row] for row in rows], np.float32)
        return [rows[position] for position in top_k(rows, exact, self.k, self.shield.distance)]

    def probe(self, ask: Floats, rule: RerankRule) -> None:
        """Read pages of one probe until its certificate settles, the cap is reached, or there is no more."""
        shield, k = self.shield, self.k
        order = np.argsort(-(self.stored.vectors @ ask), kind="stable")
        certificate = self._certificate(rule) if shield.certified else None
        most = min(max(rule.max_candidates, k), len(order))
        protected: list[float] = []
        target = min(max(rule.first_page, k), most)
        while True:
            page = order[len(protected) : target]
            protected += (self.stored.vectors[page] @ ask).tolist()
            self._open(page)
            kth = kth_score(np.array(list(self.exact.values()), np.float32), k, shield.distance, None)
            settled = certificate is None or (kth is not None and certificate.settled(kth, protected[-1], 1.0))
            if settled or len(protected) >= most:
                break
            reach = None if kth is None or certificate is None else certificate.reach(kth, protected[-1], 1.0)
            target = min(max(predicted_page(protected, reach), len(protected) + 1), most)
        self.read += len(protected)

    def _certificate(self, rule: RerankRule) -> Certificate:
        shield = self.shield
        return Certificate.of(
            self.query,
            shield.distance,
            shield.noise_ratio,
            rule.certainty,
            stored_scale=shield.fixed_scale,
            dims=shield.stored_dims,
            spread=shield.noise_spread,
            noise_norm=shield.noise_norm,
        )

    def _open(self, page: NDArray[np.intp]) -> None:
        rows = [row for row in page.tolist() if row not in self.exact]
        if not rows:
            return
        entries = [[entry] if (entry := self.stored.entries[row]) is not None else [] for row in rows]
        opened = self.shield.open_for_scoring(
            [self.stored.ids[row] for row in rows], self.stored.vectors[rows], entries
        )
        framed = self.query
        if self.shield.scores_rotated:
            framed = self.shield.query(self.query[np.newaxis], self.shield.parts[0])[0]
        found = scores(framed, opened, self.shield.distance).tolist()
        self.exact.update(zip(rows, found, strict=True))


def certified_search(
    shield: DenseShield, stored: Stored, q: Floats, k: int
) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Rows of the k best records for each row of `q` (m, d) float32, and the candidates read for each (m,) int64.

    Where the policy re-ranks, every probe is read until its certificate settles or the cap is reached; otherwise the
    protected order is the answer.
    """
    asked = [unit(shield.query(q, part)) for part in shield.parts]
    found: list[list[int]] = []
    read = np.full(len(q), k, np.int64)
    for row, query in enumerate(q):
        if shield.rerank is None:
            found += nearest(stored.vectors, asked[0][row : row + 1], k)
            continue
        search = _Search(shield, stored, query, k)
        for probes in asked:
            search.probe(probes[row], shield.rerank)
        found.append(search.answer())
        read[row] = search.read
    return found, read
