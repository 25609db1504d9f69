"""The whole Query API: every kind of query, over every kind of vector, with prefetches, groups and matrices."""

from __future__ import annotations

from typing import Any

from qdrant_client import models

from . import library
from .library import dense, point_id, rows, sparse
from .sides import Call, Tied

A, B, C, D = point_id(5), point_id(9), point_id(22), point_id(43)
# Weights that give no two points the same fused score.
UNTIED = models.RrfQuery(rrf=models.Rrf(k=3, weights=[1.0, 0.618034]))
BERLIN = models.Filter(must=[models.FieldCondition(key="s_city", match=models.MatchValue(value="Berlin"))])
NOT_RED = models.Filter(must_not=[models.FieldCondition(key="tags", match=models.MatchValue(value="red"))])


def _query(collection: str, **asked: Any) -> Call:
    return lambda on: on.client.query_points(on.name(collection), **asked)


def _inputs(using: str) -> tuple[Any, Any, Any]:
    """Three vectors of the kind that a vector name holds."""
    kinds = {
        "": dense,
        "text": dense,
        "image": lambda seed: dense(seed, library.IMAGE_DIMS),
        "tokens": lambda seed: rows(seed, 2),
        "words": sparse,
        "bm25": sparse,
    }
    make = kinds[using]
    return make(90_001), make(90_002), make(90_003)


def nearest(collection: str, using: str) -> dict[str, Call]:
    """Nearest by vector and by id, with everything that goes with it."""
    one, _, _ = _inputs(using)
    base: dict[str, Any] = {"using": using} if using else {}
    threshold = {"words": 0.4, "bm25": 2.0, "tokens": 1.1}.get(using, 0.2)

    def ask(**asked: Any) -> Call:
        return _query(collection, **base, **asked)

    return {
        "nearest": ask(query=one),
        "nearest-limit": ask(query=one, limit=3),
        "nearest-all": ask(query=one, limit=1_000, with_payload=False),
        "nearest-offset": ask(query=one, limit=5, offset=7),
        "nearest-offset-beyond": ask(query=one, limit=5, offset=500),
        "nearest-threshold": ask(query=one, limit=100, score_threshold=threshold),
        "nearest-threshold-offset": ask(query=one, limit=4, offset=2, score_threshold=threshold),
        "nearest-threshold-none": ask(query=one, limit=100, score_threshold=-1e6),
        "nearest-filter": ask(query=one, query_filter=BERLIN),
        "nearest-filter-compound": ask(
            query=one, query_filter=models.Filter(must=[BERLIN], must_not=[models.Filter(must=[NOT_RED])]), limit=50
        ),
        "nearest-no-payload": ask(query=one, with_payload=False),
        "nearest-payload-fields": ask(query=one, with_payload=["secret.note", "s_tags"]),
        "nearest-payload-exclude": ask(
            query=one, with_payload=models.PayloadSelectorExclude(exclude=["secret", "s_city"])
        ),
        "nearest-vectors": ask(query=one, with_vectors=True, limit=30),
        "nearest-exact": ask(query=one, search_params=models.SearchParams(exact=True)),
        "nearest-by-id": ask(query=A),
        "nearest-by-uuid": ask(query=B, limit=5, offset=2),
        "nearest-by-id-filter": ask(query=C, query_filter=BERLIN),
    }


def strategies(collection: str, using: str) -> dict[str, Call]:
    """Recommend by each strategy, discover, context, relevance feedback, MMR."""
    one, two, three = _inputs(using)
    base: dict[str, Any] = {"using": using} if using else {}

    def recommend(strategy: str, positive: list[Any], negative: list[Any], **asked: Any) -> Call:
        chosen = models.RecommendInput(
            positive=positive, negative=negative, strategy=models.RecommendStrategy(strategy)
        )
        return _query(collection, query=models.RecommendQuery(recommend=chosen), **base, **asked)

    def context(*pairs: tuple[Any, Any]) -> list[models.ContextPair]:
        return [models.ContextPair(positive=better, negative=worse) for better, worse in pairs]

    def discover(target: Any, *pairs: tuple[Any, Any], **asked: Any) -> Call:
        chosen = models.DiscoverInput(target=target, context=context(*pairs))
        return _query(collection, query=models.DiscoverQuery(discover=chosen), **base, **asked)

    found: dict[str, Call] = {}
    for strategy in ("average_vector", "best_score", "sum_scores"):
        found[f"recommend-{strategy}-ids"] = recommend(strategy, [A, B], [C])
        found[f"recommend-{strategy}-vectors"] = recommend(strategy, [one, two], [three], limit=20)
        found[f"recommend-{strategy}-mixed"] = recommend(strategy, [A, one], [C, three], query_filter=NOT_RED)
        found[f"recommend-{strategy}-positive"] = recommend(strategy, [A, two], [], limit=6, offset=3)
    for strategy in ("best_score", "sum_scores"):
        found[f"recommend-{strategy}-negative"] = Tied(recommend(strategy, [], [A, two], limit=70))
    found["discover"] = Tied(discover(one, (two, three)))
    found["discover-ids"] = Tied(discover(A, (B, C), (D, three), limit=20))
    found["discover-no-context"] = discover(one, limit=12)
    found["discover-filter"] = Tied(discover(one, (A, B), query_filter=BERLIN))
    for name, pairs in {"context": context((one, two), (A, C)), "context-ids": context((A, B))}.items():
        for limit in (15, 100):
            found[f"{name}-{limit}"] = Tied(
                _query(collection, query=models.ContextQuery(context=pairs), limit=limit, **base)
            )
    for target in (one, A):
        found[f"feedback-{'id' if target == A else 'vector'}"] = _query(
            collection,
            query=models.RelevanceFeedbackQuery(
                relevance_feedback=models.RelevanceFeedbackInput(
                    target=target,
                    feedback=[
                        models.FeedbackItem(example=two, score=0.9),
                        models.FeedbackItem(example=C, score=0.4),
                        models.FeedbackItem(example=D, score=0.1),
                    ],
                    strategy=models.NaiveFeedbackStrategy(
                        naive=models.NaiveFeedbackStrategyParams(a=0.3, b=0.8, c=0.2)
                    ),
                )
            ),
            limit=15,
            **base,
        )
    for name, mmr in {
        "mmr": models.Mmr(),
        "mmr-diverse": models.Mmr(diversity=0.9, candidates_limit=40),
        "mmr-relevant": models.Mmr(diversity=0.0, candidates_limit=20),
        "mmr-only-diverse": models.Mmr(diversity=1.0, candidates_limit=60),
    }.items():
        found[name] = _query(collection, query=models.NearestQuery(nearest=one, mmr=mmr), limit=8, **base)
    found["mmr-by-id"] = _query(
        collection, query=models.NearestQuery(nearest=A, mmr=models.Mmr(candidates_limit=30)), limit=8, **base
    )
    found["mmr-filter-vectors"] = _query(
        collection,
        query=models.NearestQuery(nearest=one, mmr=models.Mmr(diversity=0.5, candidates_limit=30)),
        limit=5,
        query_filter=NOT_RED,
        with_vectors=True,
        **base,
    )
    return found


def trees(collection: str) -> dict[str, Call]:
    """Prefetch trees over named vectors: fusion, re-scoring, nesting."""
    text, _, _ = _inputs("text")
    image, _, _ = _inputs("image")
    tokens, _, _ = _inputs("tokens")
    words, _, _ = _inputs("words")

    def fetch(query: Any, using: str, limit: int = 20, **asked: Any) -> models.Prefetch:
        return models.Prefetch(query=query, using=using, limit=limit, **asked)

    legs = [fetch(text, "text"), fetch(words, "words")]
    three = [*legs, fetch(image, "image", 15)]

    def fused(query: Any, prefetch: Any, **asked: Any) -> Call:
        return Tied(_query(collection, query=query, prefetch=prefetch, **asked))

    rrf, dbsf = (models.FusionQuery(fusion=kind) for kind in (models.Fusion.RRF, models.Fusion.DBSF))
    inner = models.Prefetch(prefetch=legs, query=UNTIED, limit=12)
    return {
        "rrf": fused(rrf, legs),
        "rrf-three": fused(rrf, three, limit=25, offset=3),
        "rrf-k": fused(models.RrfQuery(rrf=models.Rrf(k=10)), three),
        "rrf-weights": fused(models.RrfQuery(rrf=models.Rrf(k=5, weights=[3.0, 0.5, 1.0])), three),
        "rrf-threshold": fused(rrf, three, score_threshold=0.2, limit=50),
        "rrf-vectors": fused(rrf, legs, with_vectors=["text", "words"], limit=6),
        "rrf-payload": fused(rrf, legs, with_payload=["secret.note"], limit=6),
        "rrf-filter": fused(rrf, legs, query_filter=BERLIN),
        "rrf-leaf-filter": fused(rrf, [fetch(text, "text", filter=NOT_RED), fetch(tokens, "tokens", filter=BERLIN)]),
        "rrf-leaf-threshold": fused(rrf, [fetch(text, "text", score_threshold=0.1), fetch(words, "words", 5)]),
        "rrf-by-id": fused(rrf, [fetch(A, "text"), fetch(A, "image")]),
        "rrf-one": fused(rrf, fetch(text, "text", 5)),
        "dbsf": fused(dbsf, legs),
        "dbsf-three": fused(dbsf, three, limit=30),
        "dbsf-threshold": fused(dbsf, three, score_threshold=0.6, limit=30),
        "dbsf-tokens": fused(dbsf, [fetch(tokens, "tokens"), fetch(image, "image")]),
        "rescore": fused(image, fetch(text, "text", 15), using="image"),
        "rescore-multivector": fused(tokens, fetch(text, "text", 30), using="tokens", limit=7, offset=1),
        "rescore-sparse": fused(words, [fetch(text, "text", 15), fetch(image, "image", 5)], using="words"),
        "rescore-threshold": fused(text, fetch(words, "words", 30), using="text", score_threshold=0.2),
        "rescore-by-id": fused(A, fetch(image, "image", 12), using="text"),
        "rescore-filter": fused(text, fetch(image, "image", 40), using="text", query_filter=BERLIN),
        "rescore-fused": fused(tokens, inner, using="tokens", limit=6),
        "rescore-mmr": fused(
            models.NearestQuery(nearest=text, mmr=models.Mmr(diversity=0.6, candidates_limit=30)),
            fetch(image, "image", 30),
            using="text",
            limit=6,
        ),
        "rescore-recommend": fused(
            models.RecommendQuery(recommend=models.RecommendInput(positive=[A], negative=[C])),
            fetch(text, "text", 25),
            using="image",
        ),
        "rescore-discover": fused(
            models.DiscoverQuery(
                discover=models.DiscoverInput(target=text, context=[models.ContextPair(positive=A, negative=B)])
            ),
            fetch(image, "image", 25),
            using="text",
        ),
        "rescore-order-by": fused(models.OrderByQuery(order_by="weight"), fetch(text, "text", 12), limit=8),
        "fused-fusions": fused(rrf, [inner, fetch(image, "image", 10)]),
        "tree-of-three-levels": fused(
            rrf,
            [
                models.Prefetch(
                    prefetch=[models.Prefetch(prefetch=legs, query=dbsf, limit=15), fetch(image, "image", 6)],
                    query=image,
                    using="image",
                    limit=10,
                ),
                fetch(words, "bm25", 6),
            ],
        ),
        "prefetch-order-by": fused(
            UNTIED, [models.Prefetch(query=models.OrderByQuery(order_by="weight"), limit=7), fetch(text, "text", 7)]
        ),
        "prefetch-order-by-last": fused(
            UNTIED, [fetch(text, "text", 7), models.Prefetch(query=models.OrderByQuery(order_by="weight"), limit=60)]
        ),
        "prefetch-order-by-rescored": fused(
            text, models.Prefetch(query=models.OrderByQuery(order_by="weight"), limit=9), using="text"
        ),
        "prefetch-filter-only": fused(text, models.Prefetch(filter=BERLIN, limit=60), using="text"),
        "prefetch-recommend": fused(
            rrf,
            [
                fetch(models.RecommendQuery(recommend=models.RecommendInput(positive=[A, B])), "text"),
                fetch(
                    models.RecommendQuery(
                        recommend=models.RecommendInput(positive=[A], negative=[D], strategy="best_score")
                    ),
                    "image",
                ),
            ],
        ),
        "prefetch-mmr": fused(
            rrf,
            [
                fetch(models.NearestQuery(nearest=text, mmr=models.Mmr(diversity=0.7, candidates_limit=40)), "text", 6),
                fetch(words, "words", 6),
            ],
        ),
        "prefetch-empty": fused(
            text, fetch(text, "text", filter=models.Filter(must=[models.HasIdCondition(has_id=[])])), using="text"
        ),
    }


def formulas(collection: str) -> dict[str, Call]:
    """Score boosting by formula, on scores, payload of each mode, conditions, times and places."""
    text, _, _ = _inputs("text")
    image, _, _ = _inputs("image")
    legs = [
        models.Prefetch(query=text, using="text", limit=25),
        models.Prefetch(query=image, using="image", limit=25),
    ]
    berlin, searchable = (
        models.FieldCondition(key=key, match=models.MatchValue(value="Berlin")) for key in ("city", "s_city")
    )
    decay = models.DecayParamsExpression
    sums, mult = (
        (lambda *items: models.SumExpression(sum=list(items))),
        (lambda *items: models.MultExpression(mult=list(items))),
    )
    near = models.GeoDistance(
        geo_distance=models.GeoDistanceParams(origin=models.GeoPoint(lat=52.5, lon=13.4), to="place")
    )
    expressions: dict[str, tuple[Any, dict[str, Any]]] = {
        "score": (sums("$score", 1.0), {}),
        "scores": (sums(mult(0.7, "$score[0]"), mult(0.3, "$score[1]")), {"$score[0]": 0.0, "$score[1]": -1.0}),
        "payload": (sums("$score", mult(0.1, "weight")), {"weight": 0.0}),
        "payload-sealed": (sums("$score", "secret.age"), {"secret.age": -9.0}),
        "payload-searchable": (mult("$score", "s_age"), {"s_age": 0.5}),
        "condition": (sums("$score", mult(0.5, berlin)), {}),
        "condition-searchable": (sums("$score", mult(-0.5, searchable)), {}),
        "condition-nested": (
            sums("$score", models.Filter(should=[searchable, models.HasIdCondition(has_id=[A, C])])),
            {},
        ),
        "functions": (
            sums(
                models.AbsExpression(abs="weight"),
                models.SqrtExpression(sqrt=models.AbsExpression(abs="$score")),
                models.NegExpression(neg="age"),
                models.ExpExpression(exp=mult(0.1, "$score")),
            ),
            {"weight": 1.0, "age": 0.0},
        ),
        "division": (
            models.DivExpression(div=models.DivParams(left="$score", right="age", by_zero_default=7.0)),
            {"age": 2.0},
        ),
        "power": (
            models.PowExpression(pow=models.PowParams(base=models.AbsExpression(abs="$score"), exponent=1.5)),
            {},
        ),
        "gauss": (
            models.GaussDecayExpression(gauss_decay=decay(x=near, scale=300_000.0)),
            {"place": {"lat": 0.0, "lon": 0.0}},
        ),
        "exp-decay": (
            sums("$score", models.ExpDecayExpression(exp_decay=decay(x="weight", target=1.0, scale=2.0, midpoint=0.4))),
            {"weight": 0.0},
        ),
        "lin-decay": (
            models.LinDecayExpression(
                lin_decay=decay(
                    x=models.DatetimeKeyExpression(datetime_key="when"),
                    target=models.DatetimeExpression(datetime="2024-06-01T00:00:00Z"),
                    scale=8_640_000.0,
                )
            ),
            {"when": "2024-01-01T00:00:00Z"},
        ),
    }
    found = {
        f"formula-{name}": Tied(
            _query(collection, query=models.FormulaQuery(formula=formula, defaults=defaults), prefetch=legs, limit=60)
        )
        for name, (formula, defaults) in expressions.items()
    }
    simple = models.FormulaQuery(formula=sums("$score", mult(0.5, berlin)), defaults={})
    found["formula-limit"] = _query(collection, query=simple, prefetch=legs[0], limit=7, offset=2)
    found["formula-threshold"] = _query(
        collection, query=simple, prefetch=legs[0], limit=10, offset=1, score_threshold=0.1, query_filter=NOT_RED
    )
    inner = models.Prefetch(query=simple, prefetch=legs[0], limit=10)
    found["formula-in-fusion"] = _query(collection, query=UNTIED, prefetch=[inner, legs[1]], limit=30)
    return found


def others(collection: str) -> dict[str, Call]:
    """Queries without a vector, batches, lookups in another vector."""
    text, other, _ = _inputs("text")

    def sample(limit: int) -> Call:
        def run(on: Any) -> object:
            drawn = on.client.query_points(
                on.name(collection),
                query=models.SampleQuery(sample=models.Sample.RANDOM),
                limit=limit,
                query_filter=NOT_RED,
                with_payload=["secret.note"],
            ).points
            # A sample is random: how many, that none comes twice, and (where all are drawn) which.
            assert len({str(p.id) for p in drawn}) == len(drawn)
            whole = sorted(([str(p.id), p.payload] for p in drawn), key=str) if limit > library.COUNT else []
            return [len(drawn), whole]

        return run

    def batch(on: Any) -> object:
        asks = [
            models.QueryRequest(query=text, using="text", limit=3, with_payload=True),
            models.QueryRequest(query=A, using="image", limit=4, offset=1, filter=BERLIN),
            models.QueryRequest(
                query=UNTIED,
                prefetch=[models.Prefetch(query=text, using="text"), models.Prefetch(query=other, using="text")],
            ),
            models.QueryRequest(query=models.OrderByQuery(order_by="weight"), limit=2, with_vector=["bm25"]),
        ]
        return on.client.query_batch_points(on.name(collection), asks)

    def lookup(on: Any, vector: str | None, **asked: Any) -> object:
        place = models.LookupLocation(collection=on.name(collection), vector=vector)
        return on.client.query_points(on.name(collection), lookup_from=place, **asked)

    return {
        "no-query": _query(collection, limit=5),
        "no-query-filter": _query(collection, query_filter=BERLIN, limit=20, with_vectors=True),
        "no-query-offset": _query(collection, limit=5, offset=60, with_payload=False),
        "order-by": _query(collection, query=models.OrderByQuery(order_by="weight"), limit=12),
        "order-by-descending": _query(
            collection,
            query=models.OrderByQuery(order_by=models.OrderBy(key="when", direction=models.Direction.DESC)),
            query_filter=BERLIN,
            limit=5,
        ),
        "sample-all": sample(1_000),
        "sample-some": sample(5),
        "batch": batch,
        "batch-empty": lambda on: on.client.query_batch_points(on.name(collection), []),
        "lookup-other-vector": lambda on: lookup(on, "text", query=A, using="text", limit=5),
        "idf-corpus": _query(
            collection,
            query=sparse(90_001),
            using="bm25",
            search_params=models.SearchParams(idf=models.IdfCorpusParams(corpus=BERLIN)),
        ),
        "text-query": Tied(_query(collection, query=models.TextQuery(text="quick fox"), using="text", limit=100)),
        "text-query-filter": Tied(
            _query(collection, query=models.TextQuery(text="lazy"), using="text", query_filter=BERLIN, limit=5)
        ),
        "params": _query(
            collection,
            query=text,
            using="text",
            search_params=models.SearchParams(hnsw_ef=64, exact=False, indexed_only=False),
            timeout=20,
            consistency=models.ReadConsistencyType.MAJORITY,
        ),
        "idf-global": _query(
            collection,
            query=sparse(90_001),
            using="bm25",
            search_params=models.SearchParams(idf=models.IdfScope.GLOBAL),
        ),
    }


def elsewhere(collection: str, other: str) -> dict[str, Call]:
    """Examples whose vectors lie in another collection, which is protected under a key of its own."""

    def ask(**asked: Any) -> Call:
        def run(on: Any) -> object:
            place = models.LookupLocation(collection=on.name(other), vector="text")
            return on.client.query_points(on.name(collection), lookup_from=place, limit=12, **asked)

        return run

    def prefetched(on: Any) -> object:
        place = models.LookupLocation(collection=on.name(other), vector="text")
        legs = [
            models.Prefetch(query=A, lookup_from=place, limit=20),
            models.Prefetch(query=B, limit=20),
        ]
        return on.client.query_points(on.name(collection), query=UNTIED, prefetch=legs, limit=50)

    def grouped(on: Any) -> object:
        place = models.LookupLocation(collection=on.name(other), vector="text")
        return on.client.query_points_groups(
            on.name(collection), group_by="s_city", query=A, lookup_from=place, with_vectors=True
        )

    examples = models.RecommendInput(positive=[A, B], negative=[dense(90_001)])
    pair = models.ContextPair(positive=B, negative=C)
    return {
        "elsewhere-nearest": ask(query=A),
        "elsewhere-recommend": ask(query=models.RecommendQuery(recommend=examples)),
        "elsewhere-discover": Tied(
            ask(query=models.DiscoverQuery(discover=models.DiscoverInput(target=A, context=[pair])))
        ),
        "elsewhere-mmr": ask(query=models.NearestQuery(nearest=A, mmr=models.Mmr(candidates_limit=30))),
        "elsewhere-prefetched": prefetched,
        "elsewhere-grouped": grouped,
    }


def plain_groups(collection: str) -> dict[str, Call]:
    """Groups of queries without a vector."""

    def grouped(**asked: Any) -> Call:
        return lambda on: on.client.query_points_groups(on.name(collection), group_by="s_city", **asked)

    return {
        "groups-order-by": grouped(query=models.OrderByQuery(order_by="weight")),
        "groups-order-by-descending": grouped(
            query=models.OrderByQuery(order_by=models.OrderBy(key="when", direction=models.Direction.DESC)), limit=3
        ),
    }


def groups(collection: str, by: str) -> dict[str, Call]:
    """Grouped queries."""
    text, _, _ = _inputs("text")
    words, _, _ = _inputs("words")

    def grouped(**asked: Any) -> Call:
        arguments = {"query": text, "using": "text", "group_by": by, **asked}
        return lambda on: on.client.query_points_groups(on.name(collection), **arguments)

    diversified = grouped(
        query=models.NearestQuery(nearest=text, mmr=models.Mmr(diversity=0.3, candidates_limit=60)), limit=4
    )
    return {
        f"groups-{by}": grouped(),
        f"groups-{by}-small": grouped(limit=2, group_size=1, with_payload=False),
        f"groups-{by}-large": grouped(limit=50, group_size=50, with_vectors=["image"], with_payload=["secret.note"]),
        f"groups-{by}-by-id": grouped(query=A, limit=4),
        f"groups-{by}-filter": grouped(query_filter=NOT_RED, group_size=2),
        f"groups-{by}-threshold": grouped(score_threshold=0.05, limit=20, group_size=4),
        f"groups-{by}-sparse": grouped(query=words, using="words"),
        f"groups-{by}-fused": grouped(
            # Each round of a grouped query ranks anew, so reciprocal ranks would tie whatever the weights.
            query=models.FusionQuery(fusion=models.Fusion.DBSF),
            using=None,
            prefetch=[
                models.Prefetch(query=text, using="text", limit=40),
                models.Prefetch(query=words, using="words", limit=40),
            ],
            group_size=2,
        ),
        f"groups-{by}-rescored": grouped(
            prefetch=models.Prefetch(query=words, using="words", limit=30), limit=4, group_size=2
        ),
        f"groups-{by}-best-score": grouped(
            query=models.RecommendQuery(
                recommend=models.RecommendInput(positive=[A, B], negative=[C], strategy="best_score")
            )
        ),
        f"groups-{by}-recommend": grouped(
            query=models.RecommendQuery(recommend=models.RecommendInput(positive=[A, B], negative=[C]))
        ),
        # Groups that share their best point are in no set order, so points of one group only.
        **({} if "[" in by or "tags" in by else {f"groups-{by}-mmr": diversified}),
    }


def lookups(collection: str, looked_up: str) -> dict[str, Call]:
    """Groups by numbers, with the point of another collection that has the group's value as its id."""
    text, _, _ = _inputs("text")

    def grouped(**asked: Any) -> Call:
        def run(on: Any) -> object:
            lookup = models.WithLookup(collection=on.name(looked_up), **asked)
            return on.client.query_points_groups(
                on.name(collection), group_by="s_age", query=text, using="text", limit=20, with_lookup=lookup
            )

        return run

    return {
        "lookup": grouped(),
        "lookup-vectors": grouped(with_vectors=True, with_payload=False),
        "lookup-fields": grouped(with_payload=["secret.note", "city"]),
    }


def matrices(collection: str, using: str) -> dict[str, Call]:
    """Distance matrices whose sample is the whole collection; sorted, since rows come in the order of the sample."""

    def pairs(on: Any, **asked: Any) -> object:
        found = on.client.search_matrix_pairs(on.name(collection), using=using or None, **asked)
        return sorted(([str(pair.a), str(pair.b), pair.score] for pair in found.pairs), key=lambda pair: pair[:2])

    def offsets(on: Any, **asked: Any) -> object:
        found = on.client.search_matrix_offsets(on.name(collection), using=using or None, **asked)
        ids = [str(key) for key in found.ids]
        cells = zip(found.offsets_row, found.offsets_col, found.scores, strict=True)
        return sorted(([ids[row], ids[column], score] for row, column, score in cells), key=lambda cell: cell[:2])

    return {
        f"matrix-pairs-{using}": lambda on: pairs(on, sample=100, limit=5),
        f"matrix-pairs-filter-{using}": lambda on: pairs(on, sample=100, limit=40, query_filter=BERLIN),
        f"matrix-offsets-{using}": lambda on: offsets(on, sample=100, limit=3),
        f"matrix-empty-{using}": lambda on: pairs(
            on, sample=10, limit=3, query_filter=models.Filter(must=[models.HasIdCondition(has_id=[])])
        ),
    }


def queries(distance: str) -> dict[str, Call]:
    """All queries of both collections, by name."""
    named, unnamed = f"{distance}-{library.NAMED}", f"{distance}-{library.UNNAMED}"
    found: dict[str, Call] = {}
    for using in ("text", "image", "tokens", "words", "bm25"):
        found |= {f"{using}-{name}": call for name, call in nearest(named, using).items()}
    for using in ("text", "tokens", "words", "bm25"):
        found |= {f"{using}-{name}": call for name, call in strategies(named, using).items()}
    found |= {f"unnamed-{name}": call for name, call in {**nearest(unnamed, ""), **strategies(unnamed, "")}.items()}
    found |= trees(named) | formulas(named) | others(named)
    for by in ("city", "s_city", "s_age", "age", "s_tags", "tags[]", "s_items[].name"):
        found |= groups(named, by)
    found |= plain_groups(named)
    found |= elsewhere(unnamed, named)
    found |= lookups(named, unnamed)
    found |= matrices(named, "text") | matrices(named, "tokens") | matrices(named, "words") | matrices(named, "bm25")
    found |= matrices(unnamed, "")
    return found
