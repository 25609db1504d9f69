"""Random points, filters and queries for differential tests, all drawn from one seeded generator."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from qdrant_client import models

WORDS = ("alpha", "beta", "gamma", "delta", "épsilon")
SIZES = {"": 6, "euclid": 4, "manhattan": 4, "multi": 4}
NAMES = ("", "euclid", "manhattan", "multi", "sparse")
COUNT = 60

COLLECTION: dict[str, Any] = {
    "vectors_config": {
        "": models.VectorParams(size=SIZES[""], distance=models.Distance.COSINE),
        "euclid": models.VectorParams(size=SIZES["euclid"], distance=models.Distance.EUCLID),
        "manhattan": models.VectorParams(size=SIZES["manhattan"], distance=models.Distance.MANHATTAN),
        "multi": models.VectorParams(
            size=SIZES["multi"],
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        ),
    },
    "sparse_vectors_config": {"sparse": models.SparseVectorParams()},
}


def point_id(number: int) -> int | str:
    """Every third id is a UUID."""
    return number if number % 3 else f"00000000-0000-0000-0000-{number:012d}"


class Draws:
    """Draws whatever a test needs, reproducibly."""

    def __init__(self, seed: int) -> None:
        self.choice = random.Random(seed)
        self.normal = np.random.default_rng(seed)

    def dense(self, size: int) -> list[float]:
        return self.normal.standard_normal(size).astype(np.float32).tolist()

    def sparse(self) -> models.SparseVector:
        count = self.choice.randint(1, 4)
        values = self.normal.random(count).astype(np.float32).tolist()
        return models.SparseVector(indices=self.choice.sample(range(8), count), values=values)

    def vector(self, name: str) -> Any:
        if name == "sparse":
            return self.sparse()
        if name == "multi":
            return [self.dense(SIZES[name]) for _ in range(self.choice.randint(1, 3))]
        return self.dense(SIZES[name])

    def vectors(self) -> dict[str, Any]:
        return {name: self.vector(name) for name in NAMES if self.choice.random() < 0.9}

    def payload(self) -> dict[str, Any]:
        pick = self.choice
        payload: dict[str, Any] = {
            "n": pick.randint(-5, 20),
            "group": pick.choice("abcd"),
            "tags": pick.sample(WORDS, pick.randint(0, 3)),
            "score": round(pick.uniform(-3, 3), 3),
            "flag": pick.random() < 0.5,
            "ints": [pick.randint(0, 5) for _ in range(pick.randint(0, 3))],
            "nest": {"x": pick.randint(0, 3), "rows": [self._row() for _ in range(pick.randint(0, 3))]},
        }
        if pick.random() < 0.3:
            payload["maybe"] = pick.choice([None, [], "text", 1])
        return {key: value for key, value in payload.items() if pick.random() > 0.15}

    def _row(self) -> dict[str, Any]:
        return {"k": self.choice.randint(0, 3), "word": self.choice.choice(WORDS)}

    def points(self) -> list[models.PointStruct]:
        return [
            models.PointStruct(id=point_id(number), vector=self.vectors(), payload=self.payload())
            for number in range(1, COUNT + 1)
        ]

    def condition(self, depth: int = 0) -> Any:
        pick, field = self.choice, models.FieldCondition
        draws = (
            lambda: field(key="group", match=models.MatchValue(value=pick.choice("abcd"))),
            lambda: field(key="n", range=models.Range(gte=pick.randint(-5, 20))),
            lambda: field(key="score", range=models.Range(lt=pick.uniform(-2, 2), gt=-2.5)),
            lambda: field(key="tags", match=models.MatchAny(any=pick.sample(WORDS, 2))),
            lambda: field(key="tags[]", match=models.MatchValue(value=pick.choice(WORDS))),
            lambda: field(key="flag", match=models.MatchValue(value=pick.random() < 0.5)),
            lambda: field(key="ints", values_count=models.ValuesCount(gte=pick.randint(0, 3))),
            lambda: field(key="ints", match=models.MatchAny(any=[pick.randint(0, 5)])),
            lambda: models.IsEmptyCondition(
                is_empty=models.PayloadField(key=pick.choice(["maybe", "tags", "n", "nest.rows"]))
            ),
            lambda: models.IsNullCondition(is_null=models.PayloadField(key=pick.choice(["maybe", "n"]))),
            lambda: models.HasIdCondition(has_id=[point_id(pick.randint(1, COUNT)) for _ in range(20)]),
            lambda: models.HasVectorCondition(has_vector=pick.choice(NAMES)),
            lambda: field(key="group", match=models.MatchExcept(**{"except": pick.sample("abcd", 2)})),
            lambda: field(key="nest.rows[].k", match=models.MatchValue(value=pick.randint(0, 3))),
            lambda: models.NestedCondition(
                nested=models.Nested(
                    key="nest.rows",
                    filter=models.Filter(
                        must=[
                            field(key="k", match=models.MatchValue(value=pick.randint(0, 3))),
                            field(key="word", match=models.MatchAny(any=pick.sample(WORDS, 2))),
                        ]
                    ),
                )
            ),
            lambda: self.filter(depth + 1),
        )
        return pick.choice(draws if depth < 2 else draws[:-1])()

    def filter(self, depth: int = 0) -> models.Filter:
        pick = self.choice
        clauses: dict[str, Any] = {
            name: [self.condition(depth) for _ in range(pick.randint(1, 2))]
            for name in ("must", "should", "must_not")
            if pick.random() < 0.5
        }
        if pick.random() < 0.15:
            conditions = [self.condition(depth) for _ in range(3)]
            clauses["min_should"] = models.MinShould(conditions=conditions, min_count=pick.randint(1, 2))
        return models.Filter(**clauses)

    def maybe_filter(self) -> models.Filter | None:
        return self.filter() if self.choice.random() < 0.5 else None
