"""The RPCs of older clients, sent raw: Search, SearchBatch, SearchGroups, Recommend*, Discover*; deprecated vectors."""

from __future__ import annotations

from typing import Any

from qdrant_client import grpc as pb

from . import library
from .library import dense, rows, sparse
from .sides import Call, Tied


def key(number: int) -> pb.PointId:
    """A point's id as a message."""
    found = library.point_id(number)
    return pb.PointId(num=found) if isinstance(found, int) else pb.PointId(uuid=found)


ALL = pb.WithPayloadSelector(enable=True)
VECTORS = pb.WithVectorsSelector(enable=True)
BERLIN = pb.Filter(
    must=[pb.Condition(field=pb.FieldCondition(key="s_city", match=pb.Match(keyword="Berlin")))],
)
ONE, TWO, THREE = dense(90_001), dense(90_002), dense(90_003)
A, B, C = key(5), key(9), key(22)


def _vector(data: list[float]) -> pb.Vector:
    return pb.Vector(dense=pb.DenseVector(data=data))


def _example(source: pb.PointId | list[float]) -> pb.VectorExample:
    return pb.VectorExample(id=source) if isinstance(source, pb.PointId) else pb.VectorExample(vector=_vector(source))


def _context(*pairs: tuple[Any, Any]) -> list[pb.ContextExamplePair]:
    return [pb.ContextExamplePair(positive=_example(p), negative=_example(n)) for p, n in pairs]


def search(collection: str) -> dict[str, Call]:
    """Search and its batch and groups."""

    def ask(on: Any, **fields: Any) -> pb.SearchPoints:
        return pb.SearchPoints(collection_name=on.name(collection), **{"limit": 8, "with_payload": ALL, **fields})

    def one(**fields: Any) -> Call:
        return lambda on: on.points.Search(ask(on, **fields))

    def groups(**fields: Any) -> Call:
        base = {"limit": 4, "group_size": 2, "group_by": "s_city", "vector": ONE, "vector_name": "text"}
        return lambda on: on.points.SearchGroups(
            pb.SearchPointGroups(collection_name=on.name(collection), **{**base, "with_payload": ALL, **fields})
        )

    words = sparse(90_001)
    flat = [value for row in rows(90_001, 2) for value in row]
    return {
        "search": one(vector=ONE, vector_name="text"),
        "search-image": one(vector=dense(1, library.IMAGE_DIMS), vector_name="image", with_vectors=VECTORS),
        "search-sparse": one(
            vector=words.values, sparse_indices=pb.SparseIndices(data=words.indices), vector_name="words"
        ),
        "search-filter": one(vector=ONE, vector_name="text", filter=BERLIN, offset=1),
        "search-threshold": one(vector=ONE, vector_name="text", score_threshold=0.15, limit=50),
        "search-params": one(vector=ONE, vector_name="text", params=pb.SearchParams(exact=True)),
        "search-no-payload": one(vector=ONE, vector_name="text", with_payload=pb.WithPayloadSelector(enable=False)),
        "search-payload-unset": lambda on: on.points.Search(
            pb.SearchPoints(collection_name=on.name(collection), vector=ONE, vector_name="text", limit=3)
        ),
        "search-multivector-flat": one(vector=flat, vector_name="tokens"),
        "search-batch": lambda on: on.points.SearchBatch(
            pb.SearchBatchPoints(
                collection_name=on.name(collection),
                search_points=[
                    ask(on, vector=ONE, vector_name="text"),
                    ask(on, vector=TWO, vector_name="text", filter=BERLIN, limit=2),
                ],
            )
        ),
        "search-batch-empty": lambda on: on.points.SearchBatch(
            pb.SearchBatchPoints(collection_name=on.name(collection))
        ),
        "search-groups": groups(),
        "search-groups-vectors": groups(with_vectors=VECTORS, group_by="age", filter=BERLIN),
        "search-groups-lookup": lambda on: groups(
            group_by="s_age", with_lookup=pb.WithLookup(collection=on.name("nowhere"), with_payload=ALL)
        )(on),
        "search-limit-none": one(vector=ONE, vector_name="text", limit=0),
        "search-groups-size-none": groups(group_size=0),
        "search-wrong-dims": one(vector=ONE[:3], vector_name="text"),
        "search-no-vector": one(vector=[], vector_name="text"),
        "search-unknown-name": one(vector=ONE, vector_name="nowhere"),
    }


def recommend(collection: str) -> dict[str, Call]:
    """Recommend and its batch and groups."""

    def ask(on: Any, **fields: Any) -> pb.RecommendPoints:
        base = {"limit": 8, "with_payload": ALL, "using": "text"}
        return pb.RecommendPoints(collection_name=on.name(collection), **{**base, **fields})

    def one(**fields: Any) -> Call:
        return lambda on: on.points.Recommend(ask(on, **fields))

    found: dict[str, Call] = {}
    for strategy in (None, "AverageVector", "BestScore", "SumScores"):
        chosen = {} if strategy is None else {"strategy": pb.RecommendStrategy.Value(strategy)}
        found[f"recommend-{strategy}"] = one(positive=[A, B], negative=[C], **chosen)
        found[f"recommend-{strategy}-vectors"] = one(
            positive_vectors=[_vector(ONE)], negative_vectors=[_vector(TWO)], filter=BERLIN, **chosen
        )
    return {
        **found,
        "recommend-offset": one(positive=[A], offset=3, with_vectors=VECTORS),
        "recommend-threshold": one(positive=[A], score_threshold=0.1, limit=40),
        "recommend-deprecated-vector": one(positive_vectors=[pb.Vector(data=ONE)]),
        "recommend-lookup": lambda on: on.points.Recommend(
            ask(
                on,
                positive=[A],
                lookup_from=pb.LookupLocation(collection_name=on.name(collection), vector_name="text"),
            )
        ),
        "recommend-batch": lambda on: on.points.RecommendBatch(
            pb.RecommendBatchPoints(
                collection_name=on.name(collection),
                recommend_points=[ask(on, positive=[A]), ask(on, positive=[B], negative=[A], limit=3)],
            )
        ),
        "recommend-groups": lambda on: on.points.RecommendGroups(
            pb.RecommendPointGroups(
                collection_name=on.name(collection),
                positive=[A],
                negative=[C],
                using="text",
                group_by="s_city",
                group_size=2,
                limit=4,
                with_payload=ALL,
            )
        ),
        "recommend-none": one(),
        "recommend-missing-vector": one(positive=[key(17), A], negative=[key(57)]),
        "recommend-none-best-score": one(strategy=pb.RecommendStrategy.BestScore),
        "recommend-missing-negative": one(positive=[A], negative=[pb.PointId(num=999_999)]),
        "recommend-missing-id": one(positive=[pb.PointId(num=999_999)]),
        "recommend-limit-none": one(positive=[A], limit=0),
    }


def discover(collection: str) -> dict[str, Call]:
    """Discover and its batch."""

    def ask(on: Any, **fields: Any) -> pb.DiscoverPoints:
        base = {"limit": 8, "with_payload": ALL, "using": "text"}
        return pb.DiscoverPoints(collection_name=on.name(collection), **{**base, **fields})

    def one(**fields: Any) -> Call:
        return Tied(lambda on: on.points.Discover(ask(on, **fields)))

    target = pb.TargetVector(single=_example(ONE))
    return {
        "discover-old": one(target=target, context=_context((TWO, THREE))),
        "discover-old-ids": one(target=pb.TargetVector(single=_example(A)), context=_context((B, C))),
        "discover-old-target-only": one(target=target, filter=BERLIN),
        "discover-old-context": one(context=_context((ONE, B), (TWO, A)), limit=30),
        "discover-old-offset": one(target=target, context=_context((TWO, THREE)), offset=2, with_vectors=VECTORS),
        "discover-old-batch": lambda on: on.points.DiscoverBatch(
            pb.DiscoverBatchPoints(
                collection_name=on.name(collection),
                discover_points=[
                    ask(on, target=target, context=_context((TWO, THREE))),
                    ask(on, target=target, limit=3),
                ],
            )
        ),
        "discover-old-nothing": one(),
        "discover-old-missing-id": one(target=pb.TargetVector(single=_example(pb.PointId(num=999_999)))),
        "discover-old-missing-vector": one(target=pb.TargetVector(single=_example(key(17)))),
        "discover-old-limit-none": one(target=target, limit=0),
    }


def legacy(distance: str) -> dict[str, Call]:
    """All operations of older clients, by name."""
    collection = f"{distance}-{library.NAMED}"
    return {**search(collection), **recommend(collection), **discover(collection)}
