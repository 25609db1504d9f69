"""Rankers of hybrid search: how the results of several searches become one ranking.

Formulas and words are those of milvus-io/milvus (internal/util/function/chain: rerank_builder.go, operator_merge.go,
operator_group_by.go, expr/decay_expr.go; internal/util/function/rerank/util.go):

    rrf        sum over the searches of 1 / (k + rank), rank from 1
    weighted   sum of weight * score; `norm_score` maps scores into 0..1 first (`_normalized`). Without it, distances
               are turned into similarities only where the searches mix both kinds.
    decay      the max, sum or average of the searches' scores (distances turned into similarities), times a factor in
               0..1 that falls with the distance of a numeric field from an origin (`Decay.factor`)

Of equal scores the smaller primary key comes first. All sums are in float32, as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.distances import PrimaryKey, ordered
from vecguard.front.milvus.search_parameters import Grouping
from vecguard.metric import FloatArray

Curve: TypeAlias = Literal["gauss", "exp", "linear"]
Mode: TypeAlias = Literal["max", "sum", "avg"]
Values: TypeAlias = Mapping[PrimaryKey, float | None]

DEFAULT_K: Final = 60.0
_SIMILARITIES: Final = frozenset({"COSINE", "IP", "BM25"})
_LARGEST_K: Final = 16_384
# Milvus refuses decays nearer to the ends, where a logarithm loses its digits.
_SMALLEST_DECAY: Final = 0.001
_LARGEST_DECAY: Final = 0.999


@dataclass(frozen=True, slots=True)
class Source:
    """What one search found: primary keys best first, their distances `(n,)` float32, and the metric of those."""

    ids: tuple[PrimaryKey, ...]
    distances: FloatArray
    metric: str


@dataclass(frozen=True, slots=True)
class Fused:
    """Every primary key that a search found, with its score, `(n,)` float32; `descending`: bigger is better."""

    ids: tuple[PrimaryKey, ...]
    scores: FloatArray
    descending: bool = True

    def page(self, limit: int, offset: int) -> list[int]:
        """Positions of the answer, best first."""
        best: list[int] = ordered(self.ids, self.scores, descending=self.descending)[offset : offset + limit].tolist()
        return best


@dataclass(frozen=True, slots=True)
class ReciprocalRank:
    """Cormack, Clarke & Büttcher, SIGIR 2009."""

    k: float = DEFAULT_K

    def __post_init__(self) -> None:
        if not 0 < self.k < _LARGEST_K:
            raise InvalidArgument(f"The rank params k should be in range (0, {_LARGEST_K})")

    def fuse(self, sources: Sequence[Source], values: Values) -> Fused:
        """The fused ranking; `values` are not looked at."""
        k = np.float32(self.k)
        shares = [np.float32(1.0) / (k + np.arange(1, len(s.ids) + 1, dtype=np.float32)) for s in sources]
        return _merged(sources, shares, "sum")


@dataclass(frozen=True, slots=True)
class Weighted:
    """A weighted sum of scores; `normalize` maps each search's scores into 0..1 first."""

    weights: tuple[float, ...]
    normalize: bool = False

    def __post_init__(self) -> None:
        if not self.weights:
            raise InvalidArgument("weights not found")
        if any(not 0 <= weight <= 1 for weight in self.weights):
            raise InvalidArgument("rank param weight should be in range [0, 1]")

    def fuse(self, sources: Sequence[Source], values: Values) -> Fused:
        """The fused ranking; `values` are not looked at.

        Raises:
            InvalidArgument: as many weights as searches are wanted.
        """
        if len(self.weights) != len(sources):
            raise InvalidArgument(
                "the length of weights param mismatch with ann search requests: "
                f"invalid parameter[expected={len(sources)}][actual={len(self.weights)}]"
            )
        descending, maps = _score_maps([source.metric for source in sources], self.normalize, turned=False)
        shares = [
            np.float32(weight) * score(source.distances)
            for weight, score, source in zip(self.weights, maps, sources, strict=True)
        ]
        return _merged(sources, shares, "sum", descending=descending)


@dataclass(frozen=True, slots=True)
class Decay:
    """Scores times a factor that falls with the distance of a field's value from `origin`."""

    field: str
    curve: Curve
    origin: float
    scale: float
    offset: float = 0.0
    decay: float = 0.5
    mode: Mode = "max"
    normalize: bool = False

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise InvalidArgument(f"decay: scale must be > 0, got {self.scale:f}")
        if self.offset < 0:
            raise InvalidArgument(f"decay: offset must be >= 0, got {self.offset:f}")
        if not 0 < self.decay < 1:
            raise InvalidArgument(f"decay: decay must be 0 < decay < 1, got {self.decay:f}")
        if not _SMALLEST_DECAY <= self.decay <= _LARGEST_DECAY:
            raise InvalidArgument(
                f"decay: decay must be between {_SMALLEST_DECAY:f} and {_LARGEST_DECAY:f} "
                f"for numerical stability, got {self.decay:f}"
            )

    def factor(self, value: float | None) -> float:
        """The factor of a field's value: 1 within `offset` of the origin, `decay` at `scale` beyond it; 0 for null."""
        if value is None:
            return 0.0
        away = max(0.0, abs(value - self.origin) - self.offset)
        if self.curve == "gauss":
            return math.exp(away**2 / (self.scale**2 / math.log(self.decay)))
        if self.curve == "exp":
            return math.exp(math.log(self.decay) / self.scale * away)
        return max(self.decay, 1 - (1 - self.decay) / self.scale * away)

    def fuse(self, sources: Sequence[Source], values: Values) -> Fused:
        """The fused ranking; `values` are the field's, by primary key."""
        _, maps = _score_maps([source.metric for source in sources], self.normalize, turned=True)
        shares = [score(source.distances) for score, source in zip(maps, sources, strict=True)]
        fused = _merged(sources, shares, self.mode)
        factors = np.array([self.factor(values[key]) for key in fused.ids], np.float32)
        return Fused(fused.ids, fused.scores * factors)


Ranker: TypeAlias = ReciprocalRank | Weighted | Decay


def _merged(sources: Sequence[Source], shares: Sequence[FloatArray], mode: Mode, *, descending: bool = True) -> Fused:
    """Each key's shares, summed source by source, or their maximum or mean."""
    slots: dict[PrimaryKey, int] = {}
    for source in sources:
        for key in source.ids:
            slots.setdefault(key, len(slots))
    total = np.full(len(slots), -np.inf if mode == "max" else 0.0, np.float32)
    found = np.zeros(len(slots), np.float32)
    for source, share in zip(sources, shares, strict=True):
        places = [slots[key] for key in source.ids]
        if mode == "max":
            np.maximum.at(total, places, share)
        else:
            np.add.at(total, places, share)
        np.add.at(found, places, np.float32(1.0))
    return Fused(tuple(slots), total / found if mode == "avg" else total, descending)


def _score_maps(
    metrics: Sequence[str], normalize: bool, *, turned: bool
) -> tuple[bool, list[Callable[[FloatArray], FloatArray]]]:
    """How each search's distances become scores, and whether bigger ones are then better.

    turned: distances become similarities even where all searches have distances.
    """
    if normalize:
        return True, [_normalizer(metric) for metric in metrics]
    similar = [metric in _SIMILARITIES for metric in metrics]
    if turned or (any(similar) and not all(similar)):
        return True, [_as_they_are if is_similarity else _turned for is_similarity in similar]
    return all(similar), [_as_they_are for _ in metrics]


def _as_they_are(distances: FloatArray) -> FloatArray:
    return distances


def _arctangents(distances: FloatArray) -> NDArray[np.float32]:
    return np.arctan(distances.astype(np.float64)).astype(np.float32)


def _turned(distances: FloatArray) -> FloatArray:
    """Distances as similarities: 1 - 2 atan(d) / pi."""
    return np.asarray(np.float32(1.0) - 2 * _arctangents(distances) / np.float32(math.pi), np.float32)


def _normalizer(metric: str) -> Callable[[FloatArray], FloatArray]:
    pi = np.float32(math.pi)
    if metric == "COSINE":
        return lambda distances: np.asarray((1 + distances) * np.float32(0.5), np.float32)
    if metric == "IP":
        return lambda distances: np.asarray(np.float32(0.5) + _arctangents(distances) / pi, np.float32)
    if metric == "BM25":
        return lambda distances: np.asarray(2 * _arctangents(distances) / pi, np.float32)
    return _turned


def grouped_page(
    fused: Fused, groups: Mapping[PrimaryKey, object], grouping: Grouping, limit: int, offset: int
) -> list[int]:
    """Positions of the answer, group by group: the best groups, each with its best rows.

    groups: the value that each key is grouped by. A group's score is the max, sum or average of its rows' scores; of
    equal groups the larger comes first, then the one with the smaller first key.
    """
    members: dict[object, list[int]] = {}
    for position in ordered(fused.ids, fused.scores, descending=fused.descending).tolist():
        bucket = members.setdefault(groups[fused.ids[position]], [])
        if len(bucket) < grouping.size:
            bucket.append(position)
    sign = -1.0 if fused.descending else 1.0

    def rank(bucket: list[int]) -> tuple[float, int, PrimaryKey]:
        return sign * _group_score(fused.scores[bucket], grouping.scorer), -len(bucket), fused.ids[bucket[0]]

    chosen = sorted(members.values(), key=rank)[offset : offset + limit]
    full = [bucket for bucket in chosen if not grouping.strict or len(bucket) == grouping.size]
    return [position for bucket in full for position in bucket]


def _group_score(scores: FloatArray, scorer: str) -> float:
    """`scores`: of the group's rows, best first."""
    if scorer == "sum":
        return float(scores.sum(dtype=np.float32))
    if scorer == "avg":
        return float(scores.sum(dtype=np.float32) / np.float32(len(scores)))
    return float(scores[0])
