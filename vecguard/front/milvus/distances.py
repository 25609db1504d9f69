"""Milvus' metrics on exact vectors, their order, and when enough candidates were read for each of them.

COSINE and IP are similarities, bigger is better; L2 is the *squared* Euclidean distance (Milvus' "Metric Types" page).
Equal distances are ordered by ascending primary key, as Milvus' proxy merges them (milvus-io/milvus,
internal/proxy/search_reduce_util.go, `selectHighestScoreIndex`).

A vector is stored as y = (R·x + n) / S, S = 1 + r^2, whatever the metric, since a metric belongs to an index and may be
chosen later. What that makes of the certificates of `vecguard.rerank`:

    COSINE  Milvus divides by |y|, so S drops out; and as E|n|^2 = r^2 |x|^2, so does |x|: the unit case.
    IP      q·y = (q·x + q·n) / S: the database's score times S is that of the certificate for "dot".
    L2      |q - y|^2 with y shrunk by S is the square of what the certificate for "euclid" takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.metric import Distance, FloatArray, norms
from vecguard.rerank import Certificate, Positions, predicted_page

Metric: TypeAlias = Literal["COSINE", "IP", "L2"]
PrimaryKey: TypeAlias = int | str

_METRICS: Final[dict[str, Metric]] = {"COSINE": "COSINE", "IP": "IP", "L2": "L2"}
_DISTANCES: Final[dict[Metric, Distance]] = {"COSINE": "cosine", "IP": "dot", "L2": "euclid"}
_LARGEST_DECIMAL: Final = 6


def dense_metric(name: str) -> Metric:
    """The metric of that name, in any case.

    Raises:
        InvalidArgument: it is none that dense vectors have.
    """
    metric = _METRICS.get(name.upper())
    if metric is None:
        raise InvalidArgument(f"metric type {name} is not one that dense vectors are protected for: COSINE, IP or L2")
    return metric


def bigger_is_better(metric: Metric) -> bool:
    """Whether a bigger distance of this metric is a better one."""
    return metric != "L2"


def exact_distances(metric: Metric, query: FloatArray, vectors: FloatArray) -> FloatArray:
    """What Milvus answers for a query `(d,)` and vectors `(n, d)`, float32: `(n,)` float32.

    Row by row, so that a vector's distance does not depend, by rounding, on which others are read with it: iterators
    compare distances between calls.
    """
    if metric == "L2":
        difference = vectors - query
        return np.asarray(np.vecdot(difference, difference), dtype=np.float32)
    dots = np.vecdot(vectors, query)
    if metric == "IP":
        return np.asarray(dots, dtype=np.float32)
    lengths = norms(vectors) * norms(query[np.newaxis])
    cosines = np.divide(dots, lengths, out=np.zeros(len(vectors), np.float32), where=lengths > 0)
    return np.asarray(np.clip(cosines, -1.0, 1.0), dtype=np.float32)


def estimated_distances(metric: Metric, query: FloatArray, stored: FloatArray, stored_scale: float) -> FloatArray:
    """The exact distances that distances at rest, `(n,)` float32, stand for on average; they keep their order.

    stored_scale: what vectors were divided by before they were stored (S above).
    """
    if metric == "COSINE":
        return np.asarray(stored * np.float32(math.sqrt(stored_scale)), dtype=np.float32)
    if metric == "IP":
        return np.asarray(stored * np.float32(stored_scale), dtype=np.float32)
    c = 1.0 / stored_scale
    return np.asarray((stored - (1.0 - c) * float(np.dot(query, query))) / c, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Settling:
    """Decides for one query whether candidates hold its true best.

    metric: of the search. certificate: in the terms of `vecguard.rerank`. stored_scale: S above.
    """

    metric: Metric
    certificate: Certificate
    stored_scale: float

    @classmethod
    def of(
        cls,
        metric: Metric,
        query: FloatArray,
        ratio: float,
        certainty: float,
        *,
        stored_scale: float,
        dims: int,
        spread: float = 1.0,
        noise_norm: float | None = None,
    ) -> Settling:
        """For a client's query `(d,)` float32, noise of `ratio` and `spread` over `dims` dimensions at rest."""
        certificate = Certificate.of(
            query,
            _DISTANCES[metric],
            ratio,
            certainty,
            dims=dims,
            spread=spread,
            noise_norm=noise_norm,
            stored_scale=stored_scale if metric == "L2" else 1.0,
        )
        return cls(metric, certificate, stored_scale)

    def settled(self, kth: float, worst_stored: float, largest_norm: float) -> bool:
        """Whether no candidate that was not read can plausibly be better than `kth`.

        kth: an exact distance. worst_stored: the worst distance at rest that was read. largest_norm: of opened vectors.
        """
        return self.certificate.settled(self._exact(kth), self._protected(worst_stored), largest_norm)

    def foretold(self, kth: float, at_rest: FloatArray, largest_norm: float) -> int:
        """How many candidates will settle `kth`, as far as can be told from those read.

        at_rest: `(n,)` float32 distances at rest, in the database's order, at least one.
        """
        protected = [self._protected(distance) for distance in at_rest.tolist()]
        return predicted_page(protected, self.certificate.reach(self._exact(kth), protected[-1], largest_norm))

    def _exact(self, distance: float) -> float:
        """A distance in the certificate's terms."""
        return math.sqrt(max(distance, 0.0)) if self.metric == "L2" else distance

    def _protected(self, at_rest: float) -> float:
        """A distance at rest in the certificate's terms."""
        return at_rest * self.stored_scale if self.metric == "IP" else self._exact(at_rest)


def ordered(ids: Sequence[PrimaryKey], distances: FloatArray, *, descending: bool) -> Positions:
    """Positions from best to worst; equal distances by ascending primary key."""
    by_key = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.intp)
    keyed = distances[by_key]
    return by_key[np.argsort(-keyed if descending else keyed, kind="stable")]


def kth_best(distances: FloatArray, k: int, metric: Metric) -> float | None:
    """The k-th best distance; None for fewer than k."""
    if not 0 < k <= len(distances):
        return None
    sign = -1.0 if bigger_is_better(metric) else 1.0
    return float(sign * np.partition(sign * distances, k - 1)[k - 1])


@dataclass(frozen=True, slots=True)
class Band:
    """The distances that a range search lets through.

    Milvus' "Range Search": radius < d <= range_filter for similarities, range_filter <= d < radius for L2.
    `after` is the bound of an iterator: only what is strictly worse than it.
    """

    radius: float | None = None
    range_filter: float | None = None
    after: float | None = None

    def passes(self, distances: FloatArray, metric: Metric) -> NDArray[np.bool_]:
        """Which distances lie in the band, `(n,)` bool."""
        sign = np.float32(1.0 if bigger_is_better(metric) else -1.0)
        score = sign * distances
        inside = np.ones(len(distances), dtype=np.bool_)
        if self.radius is not None:
            inside &= score > sign * np.float32(self.radius)
        if self.range_filter is not None:
            inside &= score <= sign * np.float32(self.range_filter)
        if self.after is not None:
            inside &= score < sign * np.float32(self.after)
        return inside

    def skips(self, distances: FloatArray, metric: Metric) -> int:
        """How many distances are too good for the band."""
        return int((~Band(None, self.range_filter, self.after).passes(distances, metric)).sum())

    def stricter(self, kth: float | None, metric: Metric) -> float | None:
        """The distance that what was not read must beat: the k-th best or the radius; None where there is neither."""
        if self.radius is None:
            return kth
        if kth is None:
            return self.radius
        return max(kth, self.radius) if bigger_is_better(metric) else min(kth, self.radius)


def check_band(band: Band, metric: Metric) -> None:
    """Refuse a band that is empty by its bounds, in Milvus' words.

    Raises:
        InvalidArgument: the bounds are the wrong way round.
    """
    if band.radius is None or band.range_filter is None:
        return
    if bigger_is_better(metric) and band.range_filter <= band.radius:
        raise InvalidArgument(
            f"range_filter({band.range_filter:.6f}) must be greater than radius({band.radius:.6f}) for IP/COSINE"
        )
    if not bigger_is_better(metric) and band.range_filter >= band.radius:
        raise InvalidArgument(
            f"range_filter({band.range_filter:.6f}) must be less than radius({band.radius:.6f}) for L2/HAMMING/JACCARD"
        )


def rounded(distances: FloatArray, decimal: int) -> FloatArray:
    """Distances to `decimal` places as Milvus rounds them, halves up; untouched for -1.

    Source: internal/util/function/rerank/util.go and internal/core/src/common/Utils.h (round to 10^-decimal).
    """
    if not 0 <= decimal <= _LARGEST_DECIMAL:
        return distances
    factor = 10.0**decimal
    return np.asarray(np.floor(distances.astype(np.float64) * factor + 0.5) / factor, dtype=np.float32)
