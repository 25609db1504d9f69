"""Wrong calls of every kind: what they are refused with is part of the API."""

from __future__ import annotations

from typing import Any

from qdrant_client import grpc as pb
from qdrant_client import models

from . import library
from .legacy_operations import ONE
from .library import dense, point_id, rows, sparse
from .query_operations import BERLIN
from .sides import Call, Tied

A = point_id(5)
MISSING = 999_999
NOWHERE = "no-such-collection"


def _point(vectors: Any, identity: int | str = 1) -> models.PointStruct:
    return models.PointStruct(id=identity, vector=vectors)


def unknown_collection() -> dict[str, Call]:
    """Every kind of call on a collection that does not exist."""
    ids = models.PointIdsList(points=[1])
    found: dict[str, Call] = {
        "info": lambda on: on.client.get_collection(on.name(NOWHERE)),
        "update": lambda on: on.client.update_collection(
            on.name(NOWHERE), optimizers_config=models.OptimizersConfigDiff(indexing_threshold=5)
        ),
        "delete": lambda on: on.client.delete_collection(on.name(NOWHERE)),
        "exists": lambda on: on.client.collection_exists(on.name(NOWHERE)),
        "upsert": lambda on: on.client.upsert(on.name(NOWHERE), [_point(ONE)]),
        "upsert-nothing": lambda on: on.points.Upsert(pb.UpsertPoints(collection_name=on.name(NOWHERE))),
        "update-vectors": lambda on: on.client.update_vectors(
            on.name(NOWHERE), [models.PointVectors(id=1, vector=ONE)]
        ),
        "set-payload": lambda on: on.client.set_payload(on.name(NOWHERE), {"a": 1}, points=[1]),
        "overwrite-payload": lambda on: on.client.overwrite_payload(on.name(NOWHERE), {"a": 1}, points=[1]),
        "delete-payload": lambda on: on.client.delete_payload(on.name(NOWHERE), ["a"], points=[1]),
        "clear-payload": lambda on: on.client.clear_payload(on.name(NOWHERE), points_selector=ids),
        "delete-points": lambda on: on.client.delete(on.name(NOWHERE), points_selector=ids),
        "delete-vectors": lambda on: on.client.delete_vectors(on.name(NOWHERE), ["text"], points=[1]),
        "batch-update": lambda on: on.client.batch_update_points(
            on.name(NOWHERE), [models.DeleteOperation(delete=ids)]
        ),
        "retrieve": lambda on: on.client.retrieve(on.name(NOWHERE), [1]),
        "scroll": lambda on: on.client.scroll(on.name(NOWHERE)),
        "count": lambda on: on.client.count(on.name(NOWHERE)),
        "facet": lambda on: on.client.facet(on.name(NOWHERE), "city"),
        "query": lambda on: on.client.query_points(on.name(NOWHERE), ONE),
        "query-batch": lambda on: on.client.query_batch_points(
            on.name(NOWHERE), [models.QueryRequest(query=ONE, limit=1)]
        ),
        "groups": lambda on: on.client.query_points_groups(on.name(NOWHERE), "city", query=ONE),
        "matrix": lambda on: on.client.search_matrix_pairs(on.name(NOWHERE)),
        "create-index": lambda on: on.client.create_payload_index(on.name(NOWHERE), "city", "keyword"),
        "delete-index": lambda on: on.client.delete_payload_index(on.name(NOWHERE), "city"),
        "aliases": lambda on: on.client.get_collection_aliases(on.name(NOWHERE)),
        "create-alias": lambda on: on.client.update_collection_aliases(
            [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name=on.name(NOWHERE), alias_name="x")
                )
            ]
        ),
        "vector-name": lambda on: on.client.create_vector_name(
            on.name(NOWHERE), "new", models.SparseVectorNameConfig(sparse=models.SparseVectorConfig())
        ),
        "delete-vector-name": lambda on: on.client.delete_vector_name(on.name(NOWHERE), "text"),
        "search": lambda on: on.points.Search(pb.SearchPoints(collection_name=on.name(NOWHERE), vector=ONE, limit=1)),
        "recommend": lambda on: on.points.Recommend(
            pb.RecommendPoints(collection_name=on.name(NOWHERE), positive=[pb.PointId(num=1)], limit=1)
        ),
    }
    return {f"unknown-collection-{name}": call for name, call in found.items()}


def writes(collection: str) -> dict[str, Call]:
    """Writes that are refused as a whole and change nothing."""

    def upsert(vectors: Any, identity: int | str = 1) -> Call:
        return lambda on: on.client.upsert(on.name(collection), [_point(vectors, identity)], wait=True)

    def raw(**fields: Any) -> Call:
        return lambda on: on.points.Upsert(
            pb.UpsertPoints(collection_name=on.name(collection), wait=True, points=[pb.PointStruct(**fields)])
        )

    def named(vector: pb.Vector) -> pb.Vectors:
        return pb.Vectors(vectors=pb.NamedVectors(vectors={"text": vector}))

    text = {"text": dense(1)}
    return {
        "upsert-wrong-dims": upsert({"text": [1.0, 2.0]}),
        "upsert-no-dims": upsert({"text": []}),
        "upsert-unknown-name": upsert({"nowhere": dense(1)}),
        "upsert-unnamed": upsert(dense(1)),
        "upsert-sparse-in-dense": upsert({"text": sparse(1)}),
        "upsert-dense-in-sparse": upsert({"words": dense(1)}),
        "upsert-multi-in-dense": upsert({"text": [dense(1), dense(2)]}),
        "upsert-multi-wrong-dims": upsert({"tokens": [[1.0, 2.0]]}),
        "upsert-multi-ragged": upsert({"tokens": [rows(1, 1)[0], [1.0]]}),
        "upsert-multi-empty": upsert({"tokens": []}),
        "upsert-sparse-twice": upsert({"words": models.SparseVector(indices=[1, 1], values=[1.0, 2.0])}),
        "upsert-bad-uuid": upsert(text, "not-a-uuid"),
        "upsert-no-id": raw(vectors=named(pb.Vector(dense=pb.DenseVector(data=dense(1))))),
        "upsert-empty-id": raw(id=pb.PointId(), vectors=named(pb.Vector(dense=pb.DenseVector(data=dense(1))))),
        "upsert-empty-uuid": raw(id=pb.PointId(uuid=""), vectors=named(pb.Vector(data=dense(1)))),
        "upsert-sparse-lengths": raw(
            id=pb.PointId(num=1),
            vectors=pb.Vectors(
                vectors=pb.NamedVectors(
                    vectors={"words": pb.Vector(sparse=pb.SparseVector(indices=[1, 2], values=[1.0]))}
                )
            ),
        ),
        "upsert-deprecated-wrong-dims": raw(id=pb.PointId(num=1), vectors=named(pb.Vector(data=[1.0]))),
        "update-vectors-missing-point": lambda on: on.client.update_vectors(
            on.name(collection), [models.PointVectors(id=MISSING, vector=text)], wait=True
        ),
        "update-vectors-wrong-dims": lambda on: on.client.update_vectors(
            on.name(collection), [models.PointVectors(id=A, vector={"text": [1.0]})], wait=True
        ),
        "update-vectors-unknown-name": lambda on: on.client.update_vectors(
            on.name(collection), [models.PointVectors(id=A, vector={"nowhere": dense(1)})], wait=True
        ),
        "delete-vectors-unknown-name": lambda on: on.client.delete_vectors(
            on.name(collection), ["nowhere"], points=[A], wait=True
        ),
        "delete-no-selector": lambda on: on.points.Delete(
            pb.DeletePoints(collection_name=on.name(collection), wait=True)
        ),
        "delete-payload-no-selector": lambda on: on.points.DeletePayload(
            pb.DeletePayloadPoints(collection_name=on.name(collection), wait=True, keys=["city"])
        ),
        "delete-vectors-no-selector": lambda on: on.points.DeleteVectors(
            pb.DeletePointVectors(
                collection_name=on.name(collection), wait=True, vectors=pb.VectorsSelector(names=["text"])
            )
        ),
        "delete-empty-selector": lambda on: on.points.Delete(
            pb.DeletePoints(collection_name=on.name(collection), wait=True, points=pb.PointsSelector())
        ),
        "set-payload-empty-selector": lambda on: on.points.SetPayload(
            pb.SetPayloadPoints(collection_name=on.name(collection), wait=True, points_selector=pb.PointsSelector())
        ),
        "upsert-nothing-in-it": raw(id=pb.PointId(num=1)),
        "upsert-deprecated-both": raw(
            id=pb.PointId(num=1),
            vectors=named(pb.Vector(data=[1.0], indices=pb.SparseIndices(data=[1]), vectors_count=1)),
        ),
        "upsert-deprecated-rows": raw(
            id=pb.PointId(num=1),
            vectors=pb.Vectors(
                vectors=pb.NamedVectors(vectors={"tokens": pb.Vector(data=dense(1, 9), vectors_count=2)})
            ),
        ),
        "delete-bad-uuid": lambda on: on.client.delete(on.name(collection), ["nope"], wait=True),
        "set-payload-missing-point": lambda on: on.client.set_payload(
            on.name(collection), {"city": "x"}, points=[MISSING], wait=True
        ),
        "set-payload-no-selector": lambda on: on.points.SetPayload(
            pb.SetPayloadPoints(collection_name=on.name(collection), wait=True)
        ),
        "set-payload-bad-key": lambda on: on.client.set_payload(
            on.name(collection), {"a": 1}, points=[A], key="a[", wait=True
        ),
        "delete-payload-bad-key": lambda on: on.client.delete_payload(
            on.name(collection), ["a["], points=[A], wait=True
        ),
        "delete-payload-no-key": lambda on: on.client.delete_payload(on.name(collection), [], points=[A], wait=True),
        "clear-payload-no-selector": lambda on: on.points.ClearPayload(
            pb.ClearPayloadPoints(collection_name=on.name(collection), wait=True)
        ),
        "batch-update-empty": lambda on: on.points.UpdateBatch(
            pb.UpdateBatchPoints(collection_name=on.name(collection), wait=True)
        ),
        "batch-update-empty-operation": lambda on: on.points.UpdateBatch(
            pb.UpdateBatchPoints(
                collection_name=on.name(collection), wait=True, operations=[pb.PointsUpdateOperation()]
            )
        ),
        "upsert-nothing": lambda on: on.points.Upsert(pb.UpsertPoints(collection_name=on.name(collection), wait=True)),
    }


def reads(collection: str) -> dict[str, Call]:
    """Queries and reads that are refused."""

    def query(**asked: Any) -> Call:
        return lambda on: on.client.query_points(on.name(collection), **asked)

    def raw(**fields: Any) -> Call:
        return lambda on: on.points.Query(pb.QueryPoints(collection_name=on.name(collection), **fields))

    def count(key: str) -> Call:
        condition = models.FieldCondition(key=key, match=models.MatchValue(value="x"))
        return lambda on: on.client.count(on.name(collection), models.Filter(must=[condition]))

    def groups(**asked: Any) -> Call:
        base = {"query": dense(1), "using": "text", "group_by": "city", **asked}
        return lambda on: on.client.query_points_groups(on.name(collection), **base)

    def recommend(strategy: str, positive: list[Any], negative: list[Any], **asked: Any) -> Call:
        return query(
            **asked,
            query=models.RecommendQuery(
                recommend=models.RecommendInput(positive=positive, negative=negative, strategy=strategy)
            ),
            using="text",
        )

    rrf = models.FusionQuery(fusion=models.Fusion.RRF)
    text = dense(1)
    leaf = models.Prefetch(query=text, using="text")
    pair = models.ContextPair(positive=A, negative=MISSING)
    return {
        "query-wrong-dims": query(query=[1.0, 2.0], using="text"),
        "query-no-name": query(query=text),
        "query-unknown-name": query(query=text, using="nowhere"),
        "query-sparse-on-dense": query(query=sparse(1), using="text"),
        "query-dense-on-sparse": query(query=text, using="words"),
        "query-multi-on-dense": query(query=[text, text], using="text"),
        "query-dense-on-multi": query(query=rows(1, 1)[0], using="tokens"),
        "query-multi-wrong-dims": query(query=[[1.0]], using="tokens"),
        "query-missing-id": query(query=MISSING, using="text"),
        "query-missing-uuid": query(query="ffffffff-0000-0000-0000-00000000ffff", using="text"),
        "query-id-without-vector": query(query=point_id(17), using="text"),
        "query-bad-uuid": query(query="not-a-uuid", using="text"),
        "elsewhere-missing-id": lambda on: query(
            query=MISSING, using="text", lookup_from=models.LookupLocation(collection=on.name(collection))
        )(on),
        "elsewhere-unknown-name": lambda on: query(
            query=A, using="text", lookup_from=models.LookupLocation(collection=on.name(collection), vector="nowhere")
        )(on),
        "elsewhere-other-dims": lambda on: query(
            query=A, using="text", lookup_from=models.LookupLocation(collection=on.name(collection), vector="image")
        )(on),
        "elsewhere-other-kind": lambda on: query(
            query=A, using="text", lookup_from=models.LookupLocation(collection=on.name(collection), vector="words")
        )(on),
        "shard-key": query(query=text, using="text", shard_key_selector="tenant"),
        "text-query-unindexed": query(query=models.TextQuery(text="red"), using="tags"),
        "slice-index": lambda on: on.client.count(
            on.name(collection),
            models.Filter(must=[models.SliceCondition(slice=models.Slice(total=2, index=5))]),
        ),
        "query-limit-0": query(query=text, using="text", limit=0),
        "query-prefetch-limit-0": query(query=rrf, prefetch=models.Prefetch(query=text, using="text", limit=0)),
        "query-unknown-vector-wanted": query(query=text, using="text", with_vectors=["nowhere"]),
        "query-empty-input": raw(query=pb.Query(nearest=pb.VectorInput()), using="text"),
        "query-empty-query": raw(query=pb.Query(), using="text"),
        "fusion-without-prefetch": query(query=rrf),
        "rrf-without-prefetch": query(query=models.RrfQuery(rrf=models.Rrf(k=3))),
        "rrf-weights-count": query(query=models.RrfQuery(rrf=models.Rrf(weights=[1.0, 2.0])), prefetch=leaf),
        "rrf-weights-negative": Tied(
            query(query=models.RrfQuery(rrf=models.Rrf(weights=[-1.0])), prefetch=leaf, limit=50)
        ),
        "rrf-k-0": query(query=models.RrfQuery(rrf=models.Rrf(k=0)), prefetch=leaf),
        "prefetch-without-query": query(prefetch=leaf),
        "inner-prefetch-without-query": query(query=rrf, prefetch=models.Prefetch(prefetch=leaf)),
        "prefetch-wrong-dims": query(query=rrf, prefetch=models.Prefetch(query=[1.0], using="text")),
        "prefetch-unknown-name": query(query=rrf, prefetch=models.Prefetch(query=text, using="nowhere")),
        "formula-without-prefetch": query(query=models.FormulaQuery(formula=models.SumExpression(sum=["$score", 1.0]))),
        "formula-score-index": Tied(
            query(query=models.FormulaQuery(formula=models.SumExpression(sum=["$score[3]"])), prefetch=leaf, limit=50)
        ),
        "formula-bad-variable": query(
            query=models.FormulaQuery(formula=models.SumExpression(sum=["$nonsense"])), prefetch=leaf
        ),
        "recommend-average-empty": recommend("average_vector", [], [A]),
        "recommend-best-empty": recommend("best_score", [], []),
        "recommend-sum-empty": Tied(recommend("sum_scores", [], [], limit=100)),
        "recommend-missing-only": recommend("average_vector", [MISSING], []),
        "recommend-missing-some": recommend("average_vector", [A, MISSING], []),
        "recommend-missing-negative": recommend("best_score", [A], [MISSING]),
        "recommend-wrong-dims": recommend("average_vector", [[1.0]], []),
        "recommend-mixed-kinds": recommend("average_vector", [text, sparse(1)], []),
        "discover-missing": query(
            query=models.DiscoverQuery(discover=models.DiscoverInput(target=MISSING, context=[])), using="text"
        ),
        "discover-wrong-dims": query(
            query=models.DiscoverQuery(discover=models.DiscoverInput(target=[1.0], context=[])), using="text"
        ),
        "context-missing": query(query=models.ContextQuery(context=[pair]), using="text"),
        "context-empty": Tied(query(query=models.ContextQuery(context=[]), using="text", limit=100)),
        "mmr-diversity": query(query=models.NearestQuery(nearest=text, mmr=models.Mmr(diversity=1.5)), using="text"),
        "mmr-candidates": query(
            query=models.NearestQuery(nearest=text, mmr=models.Mmr(candidates_limit=20_000)), using="text"
        ),
        "mmr-missing": query(query=models.NearestQuery(nearest=MISSING, mmr=models.Mmr()), using="text"),
        "feedback-no-items": query(
            query=models.RelevanceFeedbackQuery(
                relevance_feedback=models.RelevanceFeedbackInput(
                    target=text,
                    feedback=[],
                    strategy=models.NaiveFeedbackStrategy(
                        naive=models.NaiveFeedbackStrategyParams(a=1.0, b=1.0, c=1.0)
                    ),
                )
            ),
            using="text",
        ),
        "order-by-unindexed": query(query=models.OrderByQuery(order_by="text")),
        "order-by-nowhere": lambda on: on.client.scroll(on.name(collection), order_by="items"),
        "order-by-with-offset": lambda on: on.client.scroll(on.name(collection), order_by="weight", offset=A),
        "scroll-limit-0": lambda on: on.client.scroll(on.name(collection), limit=0),
        "scroll-bad-offset": lambda on: on.client.scroll(on.name(collection), offset="nope"),
        "scroll-unknown-vector": lambda on: on.client.scroll(on.name(collection), with_vectors=["nowhere"]),
        "retrieve-bad-uuid": lambda on: on.client.retrieve(on.name(collection), ["nope"]),
        "retrieve-unknown-vector": lambda on: on.client.retrieve(on.name(collection), [A], with_vectors=["nowhere"]),
        "facet-unindexed": lambda on: on.client.facet(on.name(collection), "maybe"),
        "facet-limit-0": lambda on: on.client.facet(on.name(collection), "city", limit=0),
        "facet-range-index": lambda on: on.client.facet(on.name(collection), "weight"),
        "groups-missing-id": groups(query=MISSING),
        "groups-missing-recommend": groups(
            query=models.RecommendQuery(recommend=models.RecommendInput(positive=[A, MISSING]))
        ),
        "groups-limit-0": groups(limit=0),
        "groups-size-0": groups(group_size=0),
        "groups-empty-key": groups(group_by=""),
        "groups-bad-key": groups(group_by="a["),
        "groups-wrong-dims": groups(query=[1.0]),
        "groups-unknown-lookup": lambda on: groups(with_lookup=on.name(NOWHERE))(on),
        "groups-prefetch-without-query": groups(query=None, using=None, prefetch=leaf),
        "matrix-unknown-name": lambda on: on.client.search_matrix_pairs(on.name(collection), using="nowhere"),
        "matrix-no-name": lambda on: on.client.search_matrix_pairs(on.name(collection)),
        "matrix-sample-1": lambda on: on.client.search_matrix_pairs(on.name(collection), using="text", sample=1),
        "matrix-limit-0": lambda on: on.client.search_matrix_pairs(on.name(collection), using="text", limit=0),
        "lookup-unknown-collection": lambda on: query(
            query=A, using="text", lookup_from=models.LookupLocation(collection=on.name(NOWHERE))
        )(on),
        "filter-bad-key": count("a["),
        "filter-empty-key": count(""),
        "filter-has-id-bad-uuid": lambda on: on.client.count(
            on.name(collection), models.Filter(must=[models.HasIdCondition(has_id=["nope"])])
        ),
        "filter-empty-condition": lambda on: on.points.Count(
            pb.CountPoints(collection_name=on.name(collection), filter=pb.Filter(must=[pb.Condition()]))
        ),
        "filter-field-without-content": lambda on: on.points.Count(
            pb.CountPoints(
                collection_name=on.name(collection),
                filter=pb.Filter(must=[pb.Condition(field=pb.FieldCondition(key="city"))]),
            )
        ),
        "query-wrong-dims-with-filter": query(query=[1.0], using="text", query_filter=BERLIN),
        "batch-one-wrong": lambda on: on.client.query_batch_points(
            on.name(collection),
            [
                models.QueryRequest(query=text, using="text", limit=1),
                models.QueryRequest(query=[1.0], using="text", limit=1),
            ],
        ),
    }


def wrong(distance: str) -> dict[str, Call]:
    """All wrong calls, by name."""
    collection = f"{distance}-{library.NAMED}"
    return {**unknown_collection(), **writes(collection), **reads(collection)}


def formulas_without_a_value(distance: str) -> dict[str, Call]:
    """Formulas that cannot be evaluated on the points found."""
    leaf = models.Prefetch(query=dense(1), using="text")

    def formula(expression: Any) -> Call:
        return lambda on: on.client.query_points(
            on.name(f"{distance}-{library.NAMED}"), query=models.FormulaQuery(formula=expression), prefetch=leaf
        )

    return {
        "missing-value": formula(models.SumExpression(sum=["$score", "nothing.there"])),
        "division-by-0": formula(models.DivExpression(div=models.DivParams(left=1.0, right=0.0))),
        "ln-0": formula(models.LnExpression(ln=0.0)),
        "text-as-number": formula(models.SumExpression(sum=["$score", "text"])),
    }
