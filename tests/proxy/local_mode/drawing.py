"""Random collections, points, filters and calls, the same for the same seed."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from qdrant_client import models

from proxy.differential.sides import Call, Side, Tied

POINTS = 48
DISTANCES = (models.Distance.COSINE, models.Distance.DOT, models.Distance.EUCLID)
WORDS = ("Berlin", "Zürich", "東京", "", "red", "green")
# Places of payload fields under the differential tests' policy: a prefix for plain and for searchable ones.
PLAIN, SEARCHABLE = "", "s_"


class Draw:
    """One seed's collection and what is asked of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._numbers = np.random.default_rng(seed)
        self.distance = self.random.choice(DISTANCES)
        self.dims = self.random.choice([3, 8, 17])
        self.named = self.random.random() < 0.6
        self.ids = [self._id(number) for number in range(1, POINTS + 1)]
        self.name = f"local-{seed}"

    def _id(self, number: int) -> int | str:
        return number if self.random.random() < 0.7 else str(uuid.UUID(int=self.random.getrandbits(128)))

    # Vectors

    def dense(self) -> list[float]:
        """A dense vector."""
        return self._numbers.standard_normal(self.dims).astype(np.float32).tolist()

    def rows(self) -> list[list[float]]:
        """A multivector."""
        return [self.dense() for _ in range(self.random.randint(1, 3))]

    def sparse(self) -> models.SparseVector:
        """A sparse vector of a few of 20 words."""
        indices = self.random.sample(range(20), self.random.randint(2, 6))
        return models.SparseVector(indices=indices, values=[round(self.random.uniform(0.1, 2), 3) for _ in indices])

    def config(self) -> dict[str, Any]:
        """Arguments of `create_collection`."""
        params = models.VectorParams(size=self.dims, distance=self.distance)
        if not self.named:
            return {"vectors_config": params}
        max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
        many = models.VectorParams(size=self.dims, distance=self.distance, multivector_config=max_sim)
        return {
            "vectors_config": {"d": params, "e": params, "m": many},
            "sparse_vectors_config": {"s": models.SparseVectorParams()},
        }

    def _vectors(self) -> Any:
        if not self.named:
            return self.dense()
        every = {"d": self.dense(), "e": self.dense(), "m": self.rows(), "s": self.sparse()}
        return {name: vector for name, vector in every.items() if name == "d" or self.random.random() < 0.9}

    # Payloads

    def _fields(self) -> dict[str, Any]:
        draw = self.random
        fields: dict[str, Any] = {
            "city": draw.choice(WORDS),
            "age": draw.randint(-3, 9),
            "tags": draw.sample(WORDS, draw.randint(0, 3)),
            "active": draw.random() < 0.5,
            "items": [{"n": draw.randint(0, 3), "k": draw.choice(WORDS)} for _ in range(draw.randint(0, 2))],
        }
        fields["maybe"] = draw.choice([None, [], "text", 2, [None], ["a", "b"]])
        return {key: value for key, value in fields.items() if draw.random() < 0.85}

    def payload(self) -> dict[str, Any]:
        """A payload with fields of each mode."""
        draw, fields = self.random, self._fields()
        when = f"2024-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d}T{draw.randint(0, 23):02d}:30:00Z"
        place = {"lat": draw.uniform(40, 60), "lon": draw.uniform(0, 20)}
        plain = {**fields, "weight": draw.uniform(-5, 5), "when": when, "place": place}
        return {**plain, **{f"s_{key}": value for key, value in fields.items()}, "secret": fields}

    def points(self) -> list[models.PointStruct]:
        """The collection's points."""
        return [models.PointStruct(id=one, vector=self._vectors(), payload=self.payload()) for one in self.ids]

    # Filters

    def _match(self, kind: str) -> Any:
        draw = self.random
        pick: Callable[[], Any] = (lambda: draw.choice(WORDS)) if kind == "word" else (lambda: draw.randint(-3, 9))
        form = draw.choice(["value", "any", "except"])
        if form == "value":
            return models.MatchValue(value=pick())
        many = [pick() for _ in range(draw.randint(1, 3))]
        return models.MatchAny(any=many) if form == "any" else models.MatchExcept(**{"except": many})

    def _range(self, low: float, high: float) -> models.Range:
        draw = self.random
        bounds = {
            draw.choice(["gt", "gte"]): draw.uniform(low, high),
            draw.choice(["lt", "lte"]): draw.uniform(low, high),
        }
        return models.Range(**{key: bounds[key] for key in draw.sample(sorted(bounds), draw.randint(1, 2))})

    def _field(self) -> models.FieldCondition:
        draw, field = self.random, models.FieldCondition
        prefix = draw.choice([PLAIN, SEARCHABLE])
        month = f"2024-{draw.randint(1, 12):02d}-01"
        center = models.GeoPoint(lat=draw.uniform(45, 55), lon=draw.uniform(5, 15))
        corner = models.GeoPoint(lat=center.lat - draw.uniform(1, 8), lon=center.lon + draw.uniform(1, 8))
        polygon = models.GeoLineString(
            points=[center, models.GeoPoint(lat=center.lat, lon=corner.lon), corner, center],
        )
        return draw.choice(
            [
                lambda: field(key=f"{prefix}city", match=self._match("word")),
                lambda: field(key=f"{prefix}tags", match=self._match("word")),
                lambda: field(key=f"{prefix}tags[]", match=self._match("word")),
                lambda: field(key=f"{prefix}age", match=self._match("number")),
                lambda: field(key=f"{prefix}items[].k", match=self._match("word")),
                lambda: field(key=f"{prefix}active", match=models.MatchValue(value=draw.random() < 0.5)),
                lambda: field(key="age", range=self._range(-4, 10)),
                lambda: field(key="weight", range=self._range(-6, 6)),
                lambda: field(key="items[].n", range=self._range(-1, 4)),
                lambda: field(key="when", range=models.DatetimeRange(gte=month)),
                lambda: field(key="place", geo_radius=models.GeoRadius(center=center, radius=draw.uniform(1e4, 1e6))),
                lambda: field(
                    key="place", geo_bounding_box=models.GeoBoundingBox(top_left=center, bottom_right=corner)
                ),
                lambda: field(key="place", geo_polygon=models.GeoPolygon(exterior=polygon)),
                lambda: field(key=f"{prefix}tags", values_count=models.ValuesCount(gte=draw.randint(0, 3))),
                lambda: field(key="secret.tags", values_count=models.ValuesCount(lt=draw.randint(0, 3))),
            ]
        )()

    def _condition(self, depth: int) -> Any:
        draw = self.random
        key = draw.choice(["city", "maybe", "s_maybe", "secret.maybe", "secret", "nothing", "items[].k", "s_tags"])
        place = models.PayloadField(key=key)
        inner = models.FieldCondition(key="n", range=self._range(-1, 4))
        forms: list[Callable[[], Any]] = [
            *[self._field] * 6,
            lambda: models.IsEmptyCondition(is_empty=place),
            lambda: models.IsNullCondition(is_null=place),
            lambda: models.HasIdCondition(has_id=draw.sample(self.ids, draw.randint(0, 12))),
            lambda: models.NestedCondition(
                nested=models.Nested(key=draw.choice(["items", "items[]"]), filter=models.Filter(must=[inner]))
            ),
        ]
        if self.named:
            forms.append(lambda: models.HasVectorCondition(has_vector=draw.choice("dems")))
        if depth:
            forms.append(lambda: self.filter(depth - 1))
        return draw.choice(forms)()

    def filter(self, depth: int = 2) -> models.Filter:
        """A filter tree."""
        draw = self.random
        clauses: dict[str, Any] = {}
        for name in ("must", "should", "must_not"):
            if draw.random() < 0.5:
                clauses[name] = [self._condition(depth) for _ in range(draw.randint(1, 2))]
        if draw.random() < 0.15:
            several = [self._condition(depth) for _ in range(3)]
            clauses["min_should"] = models.MinShould(conditions=several, min_count=draw.randint(1, 2))
        return models.Filter(**clauses) if clauses else models.Filter(must=[self._condition(depth)])

    def _maybe_filter(self) -> models.Filter | None:
        return self.filter() if self.random.random() < 0.5 else None

    # Calls

    def _using(self, *, dense_only: bool = False) -> tuple[dict[str, str], Callable[[], Any]]:
        """A vector's name as an argument, and how inputs for it are drawn."""
        if not self.named:
            return {}, self.dense
        name = self.random.choice("de" if dense_only else "dems")
        return {"using": name}, {"d": self.dense, "e": self.dense, "m": self.rows, "s": self.sparse}[name]

    def _shown(self) -> dict[str, Any]:
        draw = self.random
        names = [True, False, ["d"]] if self.named else [True, False]
        selected = [True, False, ["city", "secret.age"], models.PayloadSelectorExclude(exclude=["secret", "tags"])]
        return {"with_payload": draw.choice(selected), "with_vectors": draw.choice(names)}

    def _query(self, **asked: Any) -> Call:
        # Scores that differ in the seventh digit change places between two ways of summing.
        return Tied(lambda on: on.client.query_points(on.name(self.name), **asked))

    def nearest(self) -> Call:
        """Nearest to a vector."""
        draw = self.random
        using, make = self._using()
        page = {"limit": draw.randint(1, 20), "offset": draw.choice([0, 0, 3])}
        return self._query(query=make(), query_filter=self._maybe_filter(), **page, **using, **self._shown())

    def nearest_with_threshold(self) -> Call:
        """Nearest, cut off at a score."""
        using, make = self._using(dense_only=True)
        edge = 3.0 if self.distance == models.Distance.EUCLID else 0.2
        return self._query(query=make(), score_threshold=edge, limit=POINTS, **using)

    def recommend(self) -> Call:
        """Recommend by each strategy, from ids (of points that have all vectors) and vectors."""
        draw = self.random
        using, make = self._using(dense_only=True)
        strategy = draw.choice(list(models.RecommendStrategy))
        positive = [make() for _ in range(draw.randint(1, 2))]
        negative = [make() for _ in range(draw.randint(0, 2))]
        asked = models.RecommendInput(positive=positive, negative=negative, strategy=strategy)
        return self._query(query=models.RecommendQuery(recommend=asked), limit=10, **using)

    def discover(self) -> Call:
        """Discovery by context; scores of its rank part repeat."""
        using, make = self._using(dense_only=True)
        pairs = [models.ContextPair(positive=make(), negative=make()) for _ in range(2)]
        asked = models.DiscoverInput(target=make(), context=pairs)
        return self._query(query=models.DiscoverQuery(discover=asked), limit=POINTS, **using)

    def context(self) -> Call:
        """Context alone; many points score 0."""
        using, make = self._using(dense_only=True)
        pairs = [models.ContextPair(positive=make(), negative=make())]
        return self._query(query=models.ContextQuery(context=pairs), limit=POINTS, **using)

    def fusion(self) -> Call:
        """Reciprocal rank fusion, and fusion by the distribution of scores, of two prefetches."""
        prefetch = []
        for _ in range(2):
            using, make = self._using(dense_only=True)
            prefetch.append(models.Prefetch(query=make(), limit=15, filter=self._maybe_filter(), **using))
        kind = self.random.choice(
            [models.FusionQuery(fusion=models.Fusion.RRF), models.FusionQuery(fusion=models.Fusion.DBSF)]
        )
        return self._query(prefetch=prefetch, query=kind, limit=10)

    def rescored(self) -> Call:
        """A query over a prefetch."""
        using, make = self._using(dense_only=True)
        inner, make_inner = self._using(dense_only=True)
        prefetch = models.Prefetch(query=make_inner(), limit=20, **inner)
        return self._query(prefetch=prefetch, query=make(), limit=8, **using)

    def formula(self) -> Call:
        """A score changed by a formula over plain fields."""
        using, make = self._using(dense_only=True)
        prefetch = models.Prefetch(query=make(), limit=20, **using)
        expression = models.SumExpression(
            sum=[
                models.MultExpression(mult=[self.random.uniform(0.1, 2), "$score"]),
                models.MultExpression(mult=[0.01, "weight"]),
                models.FieldCondition(key="active", match=models.MatchValue(value=True)),
            ]
        )
        return self._query(
            prefetch=prefetch, query=models.FormulaQuery(formula=expression, defaults={"weight": 0.5}), limit=10
        )

    def mmr(self) -> Call:
        """Maximal marginal relevance."""
        using, make = self._using(dense_only=True)
        mmr = models.Mmr(diversity=self.random.uniform(0.1, 0.9), candidates_limit=20)
        return self._query(query=models.NearestQuery(nearest=make(), mmr=mmr), limit=6, **using)

    def scroll(self) -> Call:
        """A page of points in the order of their ids."""
        limit, asked = self.random.choice([3, 10, 100]), self._shown()
        chosen = self._maybe_filter()
        return lambda on: on.client.scroll(on.name(self.name), scroll_filter=chosen, limit=limit, **asked)

    def ordered(self) -> Call:
        """A page in the order of a plain field without repeated values."""
        order = models.OrderBy(key="weight", direction=self.random.choice(list(models.Direction)))
        chosen = self._maybe_filter()
        return lambda on: on.client.scroll(on.name(self.name), scroll_filter=chosen, order_by=order, limit=12)

    def count(self) -> Call:
        """A count."""
        chosen = self.filter()
        return lambda on: on.client.count(on.name(self.name), chosen, exact=True)

    def retrieve(self) -> Call:
        """Points by id."""
        ids, asked = self.random.sample(self.ids, 5), self._shown()
        return lambda on: on.client.retrieve(on.name(self.name), ids, **asked)

    def facet(self) -> Call:
        """Counts of values.

        The server lists values that only deleted points had, with a count of 0; local mode does not.
        """
        key = self.random.choice(["city", "s_city", "tags", "s_tags", "age", "s_age", "active", "s_active"])
        chosen = self._maybe_filter()

        def run(on: Side) -> object:
            found = on.client.facet(on.name(self.name), key, facet_filter=chosen, limit=100, exact=True)
            return [hit for hit in found.hits if hit.count]

        return run

    def groups(self) -> Call:
        """Nearest by group."""
        using, make = self._using(dense_only=True)
        key = self.random.choice(["city", "s_city", "age", "s_age"])
        query, chosen = make(), self._maybe_filter()
        return lambda on: on.client.query_points_groups(
            on.name(self.name), key, query=query, limit=4, group_size=2, query_filter=chosen, **using
        )

    def matrix(self) -> Call:
        """A distance matrix of all points: the sample is everything, so that it is the same for all.

        Compared are the distances of each point's neighbours; which of two equally far ones is one is not set.
        """
        using, _ = self._using(dense_only=True)

        def run(on: Side) -> object:
            found = on.client.search_matrix_pairs(on.name(self.name), sample=200, limit=3, **using)
            return [(pair.a, pair.score) for pair in found.pairs]

        return run

    def by_id(self) -> Call:
        """Nearest to, or recommended by, points themselves; every point has the vector asked for."""
        using = {"using": "d"} if self.named else {}
        one, two, three = self.random.sample(self.ids, 3)
        strategy = self.random.choice(list(models.RecommendStrategy))
        asked = models.RecommendInput(positive=[one, two], negative=[three], strategy=strategy)
        query = self.random.choice([one, models.RecommendQuery(recommend=asked)])
        return self._query(query=query, limit=10, query_filter=self._maybe_filter(), **using)

    def unranked(self) -> Call:
        """The Query API without a query: points in the order of their ids, all with the same score."""
        chosen, asked = self._maybe_filter(), self._shown()
        return self._query(query_filter=chosen, limit=POINTS, **asked)

    def sliced(self) -> Call:
        """One of several slices of the ids."""
        total = self.random.randint(1, 4)
        slice_ = models.SliceCondition(slice=models.Slice(total=total, index=self.random.randrange(total)))
        chosen = models.Filter(must=[slice_])
        return lambda on: on.client.scroll(on.name(self.name), scroll_filter=chosen, limit=POINTS)

    def everything(self) -> Call:
        """All points as they are."""
        return lambda on: on.client.scroll(on.name(self.name), limit=1_000, with_payload=True, with_vectors=True)

    # Writes: each returns nothing that differs between implementations (operation numbers do)

    def _chosen(self) -> Any:
        draw = self.random
        return draw.sample(self.ids, draw.randint(1, 5)) if draw.random() < 0.6 else self.filter(1)

    def _written(self, method: str, *positional: Any, **named: Any) -> Call:
        def run(on: Side) -> object:
            getattr(on.client, method)(on.name(self.name), *positional, wait=True, **named)
            return method

        return run

    def upsert(self) -> Call:
        """Points anew, some for the first time, singly or in columns."""
        draw = self.random
        ids = [*draw.sample(self.ids, 3), self._id(draw.randint(100, 120))]
        self.ids = list(dict.fromkeys([*self.ids, *ids]))
        points = [models.PointStruct(id=one, vector=self._vectors(), payload=self.payload()) for one in ids]
        if self.named or draw.random() < 0.5:
            return self._written("upsert", points)
        vectors, payloads = [point.vector for point in points], [point.payload for point in points]
        return self._written("upsert", models.Batch(ids=ids, vectors=vectors, payloads=payloads))

    def set_payload(self) -> Call:
        """Fields set, at the top or at a path, or all of them replaced."""
        draw = self.random
        # Never the same weight for several points: in `order_by` a server sorts equal values by id in the direction
        # asked for, local mode always upwards.
        fields = {name: value for name, value in self.payload().items() if name != "weight"}
        payload = draw.choice([fields, {"city": "new"}, {"secret": {"age": 3}}, {"s_tags": ["x", "red"]}, {}])
        key = draw.choice([None, None, "secret", "box.deep"])
        method = draw.choice(["set_payload", "overwrite_payload"])
        return self._written(
            method, payload, points=self._chosen(), **({"key": key} if key and "set" in method else {})
        )

    def delete_payload(self) -> Call:
        """Fields, or all of them, removed."""
        draw = self.random
        keys = draw.sample(["city", "s_city", "secret.tags", "secret", "items[].k", "nothing"], 2)
        if draw.random() < 0.3:
            return self._written("clear_payload", points_selector=self._chosen())
        return self._written("delete_payload", keys, points=self._chosen())

    def update_vectors(self) -> Call:
        """Vectors replaced, or removed."""
        draw = self.random
        if self.named and draw.random() < 0.4:
            return self._written("delete_vectors", draw.sample(["e", "m", "s"], 2), points=self._chosen())
        vectors = [models.PointVectors(id=one, vector=self._vectors()) for one in draw.sample(self.kept(), 3)]
        return self._written("update_vectors", vectors)

    def kept(self) -> list[int | str]:
        """Ids of points that are surely there: the first ones are never deleted."""
        return self.ids[:20]

    def delete(self) -> Call:
        """Points removed, never the first ones; what is not there is not asked for again."""
        gone = self.random.sample(self.ids[20:], 2)
        self.ids = [one for one in self.ids if one not in gone]
        return self._written("delete", points_selector=gone)

    def writes(self, count: int) -> Iterator[tuple[str, Call]]:
        """So many writes, each kind in turn."""
        kinds = (self.set_payload, self.upsert, self.delete_payload, self.update_vectors, self.delete)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            yield f"{number}-{kind.__name__}", kind()

    def calls(self, count: int) -> Iterator[tuple[str, Call]]:
        """So many calls, each kind in turn."""
        kinds = (
            *(self.nearest, self.scroll, self.count, self.nearest_with_threshold, self.recommend, self.discover),
            *(self.context, self.fusion, self.rescored, self.formula, self.mmr, self.ordered, self.retrieve),
            *(self.facet, self.groups, self.matrix, self.by_id, self.unranked, self.sliced),
        )
        for number in range(count):
            kind = kinds[number % len(kinds)]
            yield f"{number}-{kind.__name__}", kind()
