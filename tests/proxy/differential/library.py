"""The data of the differential tests: two small collections, of one unnamed and of five named vectors.

Every payload field is there three times, so that each mode of the policy is met: under its own name (plain), with the
prefix `s_` (searchable), and below `secret` (sealed, the default).
"""

from __future__ import annotations

import random
import uuid
from typing import Any

import numpy as np
from qdrant_client import models

COUNT = 80
DIMS = 24
IMAGE_DIMS = 12
TOKEN_DIMS = 8
UNNAMED = "unnamed"
NAMED = "named"
DISTANCES = {
    "cosine": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euclid": models.Distance.EUCLID,
}
CITIES = ("Berlin", "Zürich", "東京", "New York", "")
TAGS = ("red", "green", "blue", "ünïcödé", "😀")

POLICY = """
version: 1
access:
  anonymous: [read, write, admin]
collections:
  - match: "exact-*"
    vectors:
      - {match: "*", transforms: [{kind: rotation}]}
    payload: &payload
      default: sealed
      fields: &fields
        city: plain
        age: plain
        weight: plain
        when: plain
        place: plain
        tags: plain
        active: plain
        text: plain
        items: plain
        maybe: plain
        s_city: searchable
        s_age: searchable
        s_tags: searchable
        s_active: searchable
        s_items: searchable
        s_maybe: searchable
        s_uuid: searchable
  - match: "noisy-*"
    vectors:
      - {match: "*", rerank: {first_page: 100}}
    payload: *payload
  - match: "copied-*"
    vectors:
      - {match: "*", recover: sealed, rerank: {first_page: 100}}
    payload: *payload
  - match: "paged-*"
    vectors:
      - {match: "*", rerank: {certainty: 5.0, first_page: 7}}
    payload: *payload
  - match: "bare-*"
    vectors:
      - {match: "*", transforms: [{kind: rotation}], recover: none, rerank: "off"}
    payload: *payload
  - match: "clear-*"
    protect: none
  - match: "hidden-*"
    vectors:
      - {match: "*", transforms: [{kind: rotation}]}
    payload:
      default: sealed
      fields: *fields
      hash_names: true
"""


def point_id(number: int) -> int | str:
    """Numbers and UUIDs, mixed."""
    return number if number % 3 else str(uuid.UUID(int=0x1234_5678_9ABC_DEF0 << 64 | number))


def dense(seed: int, dims: int = DIMS) -> list[float]:
    """A vector that depends on the seed alone."""
    return np.random.default_rng(seed).standard_normal(dims).astype(np.float32).tolist()


def rows(seed: int, count: int | None = None) -> list[list[float]]:
    """A multivector of 1 to 3 rows."""
    draw = np.random.default_rng(seed)
    return draw.standard_normal((count or int(draw.integers(1, 4)), TOKEN_DIMS)).astype(np.float32).tolist()


def sparse(seed: int) -> models.SparseVector:
    """A sparse vector of up to 6 of 40 words, among them the largest index."""
    draw = np.random.default_rng(seed)
    indices = draw.choice([*range(39), 4_294_967_295], size=int(draw.integers(3, 7)), replace=False)
    values = (0.1 + draw.random(len(indices))).astype(np.float32)
    return models.SparseVector(indices=[int(i) for i in indices], values=values.tolist())


def payload(number: int) -> dict[str, Any]:
    """A point's payload."""
    draw = random.Random(number)
    fields: dict[str, Any] = {
        "city": draw.choice(CITIES),
        "age": draw.randint(-3, 12),
        "tags": draw.sample(TAGS, draw.randint(0, 3)),
        "active": draw.random() < 0.5,
        "items": [{"name": draw.choice("abc"), "n": draw.randint(0, 4)} for _ in range(draw.randint(0, 3))],
    }
    if draw.random() < 0.4:
        fields["maybe"] = draw.choice([None, [], "text", {"deep": [1, None]}, [None], 2])
    searchable = {f"s_{key}": value for key, value in fields.items()}
    sealed = {"secret": {**fields, "note": f"patient {number} · {draw.random()}", "pi": 3.14159}}
    ranged = {
        "weight": draw.uniform(-5, 5),
        "when": f"2024-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}T{draw.randint(0, 23):02d}:30:00Z",
        "place": {"lat": draw.uniform(40, 60), "lon": draw.uniform(0, 20)},
        "text": " ".join(draw.sample(["quick", "brown", "fox", "jumps", "lazy", "dog"], 3)),
    }
    return {**fields, **searchable, **sealed, **ranged} if number % 20 else {}


def named_vectors(number: int) -> dict[str, Any]:
    """The vectors of a point of the named collection; a few points lack one."""
    vectors = {
        "text": dense(1_000 + number),
        "image": dense(2_000 + number, IMAGE_DIMS),
        "tokens": rows(3_000 + number),
        "words": sparse(4_000 + number),
        "bm25": sparse(5_000 + number),
    }
    lacks = {7: "image", 11: "tokens", 13: "words", 17: "text"}.get(number % 40)
    return {name: vector for name, vector in vectors.items() if name != lacks}


def unnamed_points() -> list[models.PointStruct]:
    """Points of the unnamed collection."""
    return [
        models.PointStruct(id=point_id(number), vector=dense(number), payload=payload(number))
        for number in range(1, COUNT + 1)
    ]


def named_points() -> list[models.PointStruct]:
    """Points of the named collection."""
    return [
        models.PointStruct(id=point_id(number), vector=named_vectors(number), payload=payload(number))
        for number in range(1, COUNT + 1)
    ]


def unnamed_config(distance: str) -> dict[str, Any]:
    """Arguments of `create_collection`."""
    return {"vectors_config": models.VectorParams(size=DIMS, distance=DISTANCES[distance])}


def named_config(distance: str) -> dict[str, Any]:
    """Arguments of `create_collection`."""
    by = DISTANCES[distance]
    max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    return {
        "vectors_config": {
            "text": models.VectorParams(size=DIMS, distance=by),
            "image": models.VectorParams(size=IMAGE_DIMS, distance=by),
            "tokens": models.VectorParams(size=TOKEN_DIMS, distance=by, multivector_config=max_sim),
        },
        "sparse_vectors_config": {
            "words": models.SparseVectorParams(),
            "bm25": models.SparseVectorParams(modifier=models.Modifier.IDF),
        },
    }
