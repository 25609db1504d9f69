"""Exact re-ranking of opened candidates, and the certificate that says when enough of them were fetched.

The backend ranks by protected vectors y = R·x' + n. The proxy opens what it returns, scores it exactly, and must
know when no record that belongs in the answer can still be missing.

Why the certificate holds. Say record u belongs in the true top k but was not fetched. Its protected score is then
no better than the worst one fetched, w; its exact score is at least as good as the k-th exact one found, t. So the
noise alone moved its score by at least the gap from t to w. A page is *settled* when that gap is at least z
standard deviations of the noise, hence for every true answer

    P(missing) <= Phi(-z)        (z = 2: 2.3 %; z = 3: 0.13 %),

whatever the data, and whenever one stops, since the event concerns u's noise only. Real recall is higher, since
answers better than the k-th have more room. For "dot" that is exact; for "cosine" and "euclid" the noise enters squared
too, which a normal deviation describes to first order (simulated: within a fifth of the bound). It presumes that the
backend scans exactly (an approximate index adds its own misses), that the cap on candidates was not reached, and, but
for "cosine", that no answer is longer than the norm assumed (see `norm_bound`).

Noise in a score, for Gaussian n with E|n|^2 = r^2 |x'|^2 over d dimensions, and exact score s (other isotropic noise is
as good as normal in a score; only the variance of |n|^2, the last term of each, differs by a factor, its *spread*):

    dot     q·y  = s + q·n                           sd  r |x| |q| / sqrt(d)
    cosine  q·y / |y|, |y|^2 = 1 + 2 x·n + |n|^2     see `Certificate._cosine_bar`
    euclid  |q - c y|^2 has mean (1-c) |q|^2 + c s^2 + c (c (1+r^2) - 1) |x|^2
            and sd  c r |x| / sqrt(d) * sqrt(4 |q - c x|^2 + 2 c^2 r^2 |x|^2)

For "euclid" the stored vector is c·y. With c = 1, |n|^2 pushes long records away: their order by protected distance is
wrong even on average. The shrinkage c = 1 / (1 + r^2) (`euclid_scale`) takes that term out, so protected distances
order as exact ones do in the mean, and the noise is smaller as well.

Noise of a fixed norm, r C for records of norm up to C instead of r |x| (`noise_norm`), is added to "dot" and "euclid"
with C in place of |x| above. It pushes all records away alike, so "euclid" is stored with c = 1 then, and

    euclid  |q - y|^2 has mean s^2 + r^2 C^2 and sd  r C / sqrt(d) * sqrt(4 s^2 + 2 r^2 C^2)

MaxSim: the protected score of u is at least the sum over the rows that attain its exact one, so the same argument
holds with the noise of that sum, bounded by the sum of the rows' noise (they may share a document row).
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.metric import Distance, FloatArray, bigger_is_better, passes

PointId: TypeAlias = int | str | uuid.UUID
Positions: TypeAlias = NDArray[np.intp]

# float32 sums and an orthogonal map exact to 1e-6 leave this much, relative to the largest score possible.
ROUNDING: Final = 1e-5

_STEP: Final = 1e-3
_MARGIN: Final = 1.35
_LEAST_GROWTH: Final = 1.5
_MOST_DOUBLINGS: Final = 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """Decides whether fetched candidates hold the true top k, for one query. See the module's text for the proof.

    distance: of the collection. query_norms: the norm of each query row (one for a single vector).
    ratio: noise ratio r = sqrt(E|n|^2) / |x'|. dims: dimensions that the noise is spread over.
    certainty: z, in standard deviations.
    norm_bound: a norm no record exceeds, where one is declared; without it the largest norm opened stands in.
    noise_norm: C where the noise has the same norm r C for every record; not for cosine.
    stored_scale: "euclid" only: y was divided by this before it was stored (1 / c in the module's text).
    spread: variance of |n|^2 over that of Gaussian noise, 2 r^4 |x|^4 / d.
    """

    distance: Distance
    query_norms: tuple[float, ...]
    ratio: float
    dims: int
    certainty: float = 2.0
    norm_bound: float | None = None
    stored_scale: float = 1.0
    spread: float = 1.0
    noise_norm: float | None = None

    def __post_init__(self) -> None:
        if not self.query_norms or self.ratio < 0 or self.dims < 1 or self.certainty < 0 or self.stored_scale < 1:
            raise InvalidArgument("a certificate needs a query, ratio and certainty >= 0, dims and stored scale >= 1")

    @classmethod
    def of(
        cls,
        query: FloatArray,
        distance: Distance,
        ratio: float,
        certainty: float = 2.0,
        *,
        stored_scale: float = 1.0,
        dims: int | None = None,
        spread: float = 1.0,
        noise_norm: float | None = None,
    ) -> Certificate:
        """The certificate for a client query, (d,) or (m, d) float32.

        dims: dimensions of the stored vectors where they differ from the query's; the mapping between must keep dot
        products (a projection does not, and what it drops is not covered here).
        """
        rows = np.atleast_2d(np.asarray(query, dtype=np.float64))
        norms = tuple(float(norm) for norm in np.linalg.norm(rows, axis=1))
        over = rows.shape[1] if dims is None else dims
        return cls(
            distance, norms, ratio, over, certainty, stored_scale=stored_scale, spread=spread, noise_norm=noise_norm
        )

    def settled(self, kth_exact: float, worst_protected: float, largest_norm: float) -> bool:
        """Whether no better record can still be unfetched.

        kth_exact: the k-th best exact score found, as reported (see `kth_score`).
        worst_protected: the worst score that the backend reported for a fetched candidate.
        largest_norm: the largest |x| among opened candidates (the largest row of a multivector); unused for cosine.
        """
        bar = self.bar(kth_exact, worst_protected, largest_norm)
        return kth_exact >= bar if bigger_is_better(self.distance) else kth_exact <= bar

    def bar(self, kth_exact: float, worst_protected: float, largest_norm: float) -> float:
        """The exact score that an unfetched record could still reach, at `certainty` standard deviations."""
        if self.distance == "cosine":
            return self._cosine_bar(kth_exact, worst_protected)
        if self.distance == "dot":
            norm = self.norm_bound if self.norm_bound is not None else largest_norm
            noisy = self.noise_norm if self.noise_norm is not None else norm
            noise = self.certainty * self.ratio * noisy / math.sqrt(self.dims)
            return worst_protected + sum(self.query_norms) * (noise - ROUNDING * max(norm, noisy))
        return self._euclid_bar(kth_exact, worst_protected, largest_norm)

    def reach(self, kth_exact: float, worst_protected: float, largest_norm: float) -> float | None:
        """The protected score down to which candidates have to be fetched, as far as can be told now.

        Where `bar` meets the k-th exact score, by three steps of the secant method: it is nearly a straight line. None
        where it is flat. Only a guess to fetch by: `settled` is what decides.
        """

        def missing(worst: float) -> float:
            return self.bar(kth_exact, worst, largest_norm) - kth_exact

        at, near = worst_protected, worst_protected + _STEP * max(abs(worst_protected), _STEP)
        before, now = missing(at), missing(near)
        for _ in range(3):
            if not (now - before) * (near - at) > 0:
                return near if near == at or abs(now) < ROUNDING else None
            at, near = near, near - now * (near - at) / (now - before)
            before, now = now, missing(near)
        return near

    def _cosine_bar(self, kth_exact: float, worst: float) -> float:
        """Unit x and q; the backend divides y by |y|, which is typically Y = sqrt(1 + r^2).

        u is missing when s + q·n <= w |y|. To first order |y| = Y + (x·n + (|n|^2 - r^2) / 2) / Y, so with p = w / Y
        the difference q·n - w |y| has mean -w Y and variance r^2/d (1 - 2 p s + p^2 (1 + r^2/2)): the division takes
        part of the noise away. Worst is s = t for p >= 0, and s = 1 below. Over m rows the summed deviation is
        concave in their exact scores, so that of the mean row stands for each.
        """
        rows, scale = len(self.query_norms), math.sqrt(1.0 + self.ratio**2)
        p = worst / rows / scale
        s = min(max(kth_exact / rows, -1.0), 1.0) if p >= 0 else 1.0
        variance = max(1.0 - 2.0 * p * s + p * p * (1.0 + self.spread * self.ratio**2 / 2.0), 0.0)
        noise = self.ratio * math.sqrt(variance / self.dims)
        return worst * scale + rows * (self.certainty * noise - ROUNDING)

    def _euclid_bar(self, kth_exact: float, worst: float, largest_norm: float) -> float:
        """The s with s^2 = (w^2 - (1-c) |q|^2 - c (c (1+r^2) - 1) M^2 - z sd) / c; over m rows, the sum of theirs.

        M is the largest norm that an answer can have: it lies within t of the query, so M <= |q| + t; and it is taken
        to be at most the declared bound, or the larger of the norms opened and the query's own. The sd is the largest
        for any norm up to M; over rows Cauchy-Schwarz bounds the sum of theirs.
        """
        rows, c, r2 = len(self.query_norms), 1.0 / self.stored_scale, self.ratio**2
        query_squared, query_norm = sum(norm**2 for norm in self.query_norms), max(self.query_norms)
        known = self.norm_bound if self.norm_bound is not None else max(largest_norm, query_norm)
        squared = min(known, query_norm + kth_exact) ** 2 if self.noise_norm is None else self.noise_norm**2
        drift = max(c * (c * (1.0 + r2) - 1.0), 0.0) * rows * squared
        linear, falling = (
            4.0 * ((1.0 - c) * query_squared + c * kth_exact**2),
            rows * (4.0 * c * (1 - c) - 2 * self.spread * c * c * r2),
        )
        at = min(squared, linear / (2.0 * falling)) if falling > 0 else squared
        noise = c * math.sqrt(rows * r2 * at * (linear - falling * at) / self.dims)
        slack = ROUNDING * (worst**2 + query_squared + (self.noise_norm or 0.0) ** 2)
        return math.sqrt(max((worst**2 - (1.0 - c) * query_squared - drift - self.certainty * noise + slack) / c, 0.0))


def euclid_scale(ratio: float) -> float:
    """What to divide noised vectors of a "euclid" collection by before they are stored: 1 + r^2 (Wiener shrinkage)."""
    return 1.0 + ratio**2


def predicted_page(protected: Sequence[float], reach: float | None) -> int:
    """How many candidates will reach a protected score, judged by those held: between 1.5 and 8 times as many.

    Scores at the head of a ranking fall about evenly with the logarithm of the rank, so that each doubling of the rank
    takes the score down by as much as the last one did. A third more than that says is fetched at once, since a call
    too many costs more than some candidates: on embeddings of MedQuAD and SQuAD (5,000 records, noise ratio 1,
    certainty 2) 2.0 and 1.5 calls a search where doubling takes 3.3 and 1.8, for as many candidates and the same
    recall.

    protected: scores of the candidates held, in the database's order, at least one. reach: see `Certificate.reach`.
    """
    held = len(protected)
    fall = abs(protected[(held - 1) // 2] - protected[-1])
    if reach is None or not math.isfinite(reach) or not fall > 0:
        return 2 * held
    doublings = min(abs(protected[-1] - reach) / fall, _MOST_DOUBLINGS)
    return math.ceil(held * min(max(_MARGIN * 2**doublings, _LEAST_GROWTH), 2**_MOST_DOUBLINGS))


def kth_score(exact: FloatArray, k: int, distance: Distance, score_threshold: float | None = None) -> float | None:
    """The score that an unfetched record must beat: the k-th best exact one, or the threshold if that is stricter.

    exact: (n,) float32 reported scores. Returns None while there are fewer than k and no threshold: not settled.
    """
    sign = 1.0 if bigger_is_better(distance) else -1.0
    kth = float(sign * np.partition(sign * exact, -k)[-k]) if 0 < k <= len(exact) else None
    if score_threshold is None:
        return kth
    if kth is None or sign * score_threshold > sign * kth:
        return score_threshold
    return kth


def top_k(
    ids: Sequence[PointId],
    exact: FloatArray,
    k: int,
    distance: Distance,
    *,
    offset: int = 0,
    score_threshold: float | None = None,
) -> Positions:
    """Positions of the answer, best first: threshold, then order, then offset and limit, all on exact scores.

    ids: n point ids; exact: (n,) float32 reported scores. Returns at most k positions.
    Equal scores are ordered as Qdrant merges them (segment/utils/scored_point_ties.rs): by score, then id, both
    descending where bigger is better and ascending otherwise; a number comes before a UUID.
    """
    kept = np.arange(len(exact))
    if score_threshold is not None:
        kept = np.flatnonzero(passes(exact, score_threshold, distance))
    order = ordered([ids[i] for i in kept.tolist()], exact[kept], descending=bigger_is_better(distance))
    return kept[order][offset : offset + k]


def ordered(ids: Sequence[PointId], score: FloatArray, *, descending: bool) -> Positions:
    """Positions sorted by score, ties by id in the same direction. Ids are compared only where scores are equal."""
    order = np.argsort(-score if descending else score, kind="stable")
    ranked = score[order]
    tied = np.flatnonzero(ranked[1:] == ranked[:-1])
    if tied.size:
        for run in np.split(tied, np.flatnonzero(np.diff(tied) > 1) + 1):
            span = slice(int(run[0]), int(run[-1]) + 2)
            order[span] = sorted(order[span].tolist(), key=lambda i: id_order(ids[i]), reverse=descending)
    return order


def id_order(point_id: PointId) -> tuple[int, int]:
    """Qdrant's order of ids: numbers first, then UUIDs by value.

    Raises InvalidArgument for a text that is no UUID.
    """
    if isinstance(point_id, int):
        return 0, point_id
    try:
        return 1, (point_id if isinstance(point_id, uuid.UUID) else uuid.UUID(point_id)).int
    except ValueError:
        raise InvalidArgument("a point id is neither an unsigned number nor a UUID") from None
