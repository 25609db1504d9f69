"""Inputs that cannot be protected, limits of the policy, and administration: each has an allow and a deny."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from qdrant_client import grpc as q
from serving import Server

from proxy.behind import DIMS, Guarded, dense, guarded, refusal, unnamed
from proxy.conftest import vectors

NAME = "box-inputs"
OTHER = "small-inputs"
ID = q.PointId(num=1)
SECRET = "a text that must not travel"

INFERENCE: dict[str, Message] = {
    "document": q.Document(text=SECRET, model="m"),
    "image": q.Image(image=q.Value(string_value=SECRET), model="m"),
    "object": q.InferenceObject(object=q.Value(string_value=SECRET), model="m"),
}


@pytest.fixture(scope="module")
def inputs(place: Guarded) -> Iterator[str]:
    """A collection with the unnamed vector, and one under tight limits; points 1 to 3 in each."""
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    for name in (NAME, OTHER):
        place.client.collections.Create(
            q.CreateCollection(collection_name=name, vectors_config=q.VectorsConfig(params=params))
        )
        points = [q.PointStruct(id=q.PointId(num=i), vectors=unnamed(row(i))) for i in (1, 2, 3)]
        place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
    yield NAME
    for name in (NAME, OTHER):
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))


def row(number: int) -> list[float]:
    return list(vectors(number).vectors.vectors["d"].dense.data)


def vector(kind: str | None) -> q.Vector:
    """A vector for a write: an inference input, or with None a real one."""
    return dense(row(1)) if kind is None else q.Vector(**{kind: INFERENCE[kind]})


def given(kind: str | None) -> q.VectorInput:
    """An input of a query: an inference input, or with None a real vector."""
    if kind is None:
        return q.VectorInput(dense=q.DenseVector(data=row(1)))
    return q.VectorInput(**{kind: INFERENCE[kind]})


def _query(query: q.Query, **more: object) -> tuple[str, Message]:
    return "Query", q.QueryPoints(collection_name=NAME, query=query, **more)


def _write(kind: str | None) -> dict[str, tuple[str, Message]]:
    only, real = vector(kind), dense(row(1))
    whole = q.Vectors(vector=only)
    point = q.PointStruct(id=ID, vectors=whole)
    named = q.PointStruct(id=ID, vectors=q.Vectors(vectors=q.NamedVectors(vectors={"": only})))
    update = q.PointVectors(id=ID, vectors=whole)
    ops = q.PointsUpdateOperation
    batch = q.UpdateBatchPoints(collection_name=NAME)
    later = q.UpdateBatchPoints(collection_name=NAME)
    later.operations.add().upsert.points.append(q.PointStruct(id=ID, vectors=q.Vectors(vector=real)))
    later.operations.add(update_vectors=ops.UpdateVectors(points=[update]))
    batch.operations.add(upsert=ops.PointStructList(points=[point]))
    return {
        "upsert": ("Upsert", q.UpsertPoints(collection_name=NAME, points=[point])),
        "upsert by name": ("Upsert", q.UpsertPoints(collection_name=NAME, points=[named])),
        "upsert, second point": (
            "Upsert",
            q.UpsertPoints(collection_name=NAME, points=[q.PointStruct(id=ID, vectors=q.Vectors(vector=real)), point]),
        ),
        "update vectors": ("UpdateVectors", q.UpdatePointVectors(collection_name=NAME, points=[update])),
        "batch upsert": ("UpdateBatch", batch),
        "batch update, second operation": ("UpdateBatch", later),
    }


def _ask(kind: str | None) -> dict[str, tuple[str, Message]]:
    one, real = given(kind), given(None)
    old = q.VectorExample(vector=vector(kind))
    known = q.VectorExample(id=ID)
    pair = q.ContextInputPair(positive=one, negative=real)
    flipped = q.ContextInputPair(positive=real, negative=one)
    nearest = q.Query(nearest=one)
    feedback = q.RelevanceFeedbackInput(
        target=one,
        feedback=[q.FeedbackItem(example=real, score=1.0)],
        strategy=q.FeedbackStrategy(naive=q.NaiveFeedbackStrategy(a=1, b=1, c=1)),
    )
    item = q.RelevanceFeedbackInput(
        target=real,
        feedback=[q.FeedbackItem(example=one, score=1.0)],
        strategy=q.FeedbackStrategy(naive=q.NaiveFeedbackStrategy(a=1, b=1, c=1)),
    )
    inner = q.PrefetchQuery(query=nearest, limit=3)
    deeper = q.PrefetchQuery(prefetch=[inner], query=q.Query(nearest=real), limit=3)
    asks = {
        "nearest": _query(nearest),
        "nearest with MMR": _query(q.Query(nearest_with_mmr=q.NearestInputWithMmr(nearest=one, mmr=q.Mmr()))),
        "recommend positive": _query(q.Query(recommend=q.RecommendInput(positive=[real, one]))),
        "recommend negative": _query(q.Query(recommend=q.RecommendInput(positive=[real], negative=[one]))),
        "discover target": _query(
            q.Query(
                discover=q.DiscoverInput(
                    target=one,
                    context=q.ContextInput(pairs=[q.ContextInputPair(positive=real, negative=real)]),
                )
            )
        ),
        "discover context": _query(
            q.Query(discover=q.DiscoverInput(target=real, context=q.ContextInput(pairs=[pair])))
        ),
        "context positive": _query(q.Query(context=q.ContextInput(pairs=[pair]))),
        "context negative": _query(q.Query(context=q.ContextInput(pairs=[flipped]))),
        "feedback target": _query(q.Query(relevance_feedback=feedback)),
        "feedback example": _query(q.Query(relevance_feedback=item)),
        "prefetch": _query(q.Query(fusion=q.Fusion.RRF), prefetch=[inner]),
        "prefetch of a prefetch": _query(q.Query(fusion=q.Fusion.RRF), prefetch=[deeper]),
        "query batch": (
            "QueryBatch",
            q.QueryBatchPoints(collection_name=NAME, query_points=[q.QueryPoints(query=nearest)]),
        ),
        "query groups": ("QueryGroups", q.QueryPointGroups(collection_name=NAME, query=nearest, group_by="tag")),
        "old recommend positive": (
            "Recommend",
            q.RecommendPoints(collection_name=NAME, positive_vectors=[vector(kind)], limit=3),
        ),
        "old recommend negative": (
            "Recommend",
            q.RecommendPoints(collection_name=NAME, positive=[ID], negative_vectors=[vector(kind)], limit=3),
        ),
        "old recommend batch": (
            "RecommendBatch",
            q.RecommendBatchPoints(
                collection_name=NAME,
                recommend_points=[q.RecommendPoints(collection_name=NAME, positive_vectors=[vector(kind)], limit=3)],
            ),
        ),
        "old recommend groups": (
            "RecommendGroups",
            q.RecommendPointGroups(
                collection_name=NAME, positive_vectors=[vector(kind)], limit=3, group_by="tag", group_size=1
            ),
        ),
        "old discover target": (
            "Discover",
            q.DiscoverPoints(collection_name=NAME, target=q.TargetVector(single=old), limit=3),
        ),
        "old discover context": (
            "Discover",
            q.DiscoverPoints(
                collection_name=NAME,
                target=q.TargetVector(single=known),
                context=[q.ContextExamplePair(positive=old, negative=known)],
                limit=3,
            ),
        ),
        "old discover batch": (
            "DiscoverBatch",
            q.DiscoverBatchPoints(
                collection_name=NAME,
                discover_points=[q.DiscoverPoints(collection_name=NAME, target=q.TargetVector(single=old), limit=3)],
            ),
        ),
    }
    return asks


@pytest.mark.parametrize("kind", INFERENCE)
@pytest.mark.parametrize("where", [*_write(None), *_ask(None)])
def test_inference_inputs_are_refused_wherever_they_can_stand(
    place: Guarded, inputs: str, where: str, kind: str
) -> None:
    """Their text would reach the database in clear."""
    rpc, ask = (_write(kind) | _ask(kind))[where]
    text = f"server-side inference input ({kind}) is refused"
    place.recorder.clear()
    code, details = refusal(lambda: getattr(place.client.points, rpc)(ask))
    assert code.name == "INVALID_ARGUMENT"
    assert text in details
    assert SECRET not in details
    assert not [call.method for call in place.recorder.calls if SECRET.encode() in call.body]
    assert set(place.recorder.forwarded) <= {"/qdrant.Points/Get"}  # examples by id beside it may have been looked up


@pytest.mark.parametrize("where", [*_write(None), *_ask(None)])
def test_vectors_are_taken_in_the_same_places(place: Guarded, inputs: str, where: str) -> None:
    rpc, ask = (_write(None) | _ask(None))[where]
    getattr(place.client.points, rpc)(ask)


class TestDeclarations:
    @staticmethod
    def _create(place: Guarded, **params: object) -> Callable[[], object]:
        config = q.VectorsConfig(params=q.VectorParams(size=DIMS, **params))
        return lambda: place.client.collections.Create(
            q.CreateCollection(collection_name="box-declared", vectors_config=config)
        )

    def test_distances(self, place: Guarded) -> None:
        place.refused(
            self._create(place, distance=q.Distance.Manhattan), "INVALID_ARGUMENT", "Manhattan", "protect: none"
        )
        place.refused(self._create(place), "INVALID_ARGUMENT", "distance")
        place.refused(self._create(place, distance=99), "INVALID_ARGUMENT", "distance")
        for distance in (q.Distance.Cosine, q.Distance.Dot, q.Distance.Euclid):
            self._create(place, distance=distance)()
            place.client.collections.Delete(q.DeleteCollection(collection_name="box-declared"))

    def test_datatypes(self, place: Guarded) -> None:
        cosine = q.Distance.Cosine
        for datatype in (q.Datatype.Uint8, 99):
            create = self._create(place, distance=cosine, datatype=datatype)
            place.refused(create, "INVALID_ARGUMENT", "Float32 or Float16")
        for datatype in (q.Datatype.Default, q.Datatype.Float32, q.Datatype.Float16):
            self._create(place, distance=cosine, datatype=datatype)()
            place.client.collections.Delete(q.DeleteCollection(collection_name="box-declared"))

    def test_a_named_vector_is_looked_at_too(self, place: Guarded) -> None:
        ask = q.CreateCollection(collection_name="box-declared")
        ask.vectors_config.params_map.map["a"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
        ask.vectors_config.params_map.map["b"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Manhattan))
        place.refused(lambda: place.client.collections.Create(ask), "INVALID_ARGUMENT", "vector `b`")

    def test_a_vector_that_is_added_later_is_looked_at_too(self, place: Guarded, inputs: str) -> None:
        def add(**config: object) -> Callable[[], object]:
            dense_config = q.DenseVectorCreationConfig(size=DIMS, **config)
            ask = q.CreateVectorNameRequest(collection_name=NAME, vector_name="new", dense_config=dense_config)
            return lambda: place.client.points.CreateVectorName(ask)

        place.refused(add(distance=q.Distance.Manhattan), "INVALID_ARGUMENT", "Manhattan")
        place.refused(add(distance=q.Distance.Dot, datatype=q.Datatype.Uint8), "INVALID_ARGUMENT", "datatype")

    def test_manhattan_in_the_clear_is_the_clients_own_affair(self, place: Guarded) -> None:
        config = q.VectorsConfig(params=q.VectorParams(size=DIMS, distance=q.Distance.Manhattan))
        ask = q.CreateCollection(collection_name="open-manhattan", vectors_config=config)
        place.client.collections.Create(ask)
        place.client.collections.Delete(q.DeleteCollection(collection_name="open-manhattan"))


class TestLimits:
    """`small-*`: max_limit 5, max_batch 3, max_message_mib 1."""

    @staticmethod
    def _asks(limit: int) -> dict[str, tuple[str, Message]]:
        nearest = q.Query(nearest=q.VectorInput(dense=q.DenseVector(data=row(1))))
        some = {"collection_name": OTHER}
        ids = [q.PointId(num=i) for i in range(1, limit + 1)]
        fusion = q.Query(fusion=q.Fusion.RRF)
        prefetch = [q.PrefetchQuery(query=nearest, limit=limit)]
        groups = {**some, "limit": 1, "group_by": "x", "group_size": limit}
        return {
            "query": ("Query", q.QueryPoints(**some, query=nearest, limit=limit)),
            "offset": ("Query", q.QueryPoints(**some, query=nearest, limit=1, offset=limit - 1)),
            "prefetch": ("Query", q.QueryPoints(**some, query=fusion, prefetch=prefetch, limit=1)),
            "scroll": ("Scroll", q.ScrollPoints(**some, limit=limit)),
            "get": ("Get", q.GetPoints(**some, ids=ids)),
            "search": ("Search", q.SearchPoints(**some, vector=row(1), limit=limit)),
            "recommend": ("Recommend", q.RecommendPoints(**some, positive=[ID], limit=limit)),
            "batch": (
                "QueryBatch",
                q.QueryBatchPoints(**some, query_points=[q.QueryPoints(query=nearest, limit=limit)]),
            ),
            "facet": ("Facet", q.FacetCounts(**some, key="tag", limit=limit)),
            "groups": ("SearchGroups", q.SearchPointGroups(**groups, vector=row(1))),
            "matrix": ("SearchMatrixPairs", q.SearchMatrixPoints(**some, sample=limit, limit=2)),
        }

    @pytest.mark.parametrize(
        "what", ["query", "offset", "prefetch", "scroll", "get", "search", "recommend", "batch", "matrix"]
    )
    def test_results_of_one_call(self, place: Guarded, inputs: str, what: str) -> None:
        rpc, ask = self._asks(5)[what]
        getattr(place.client.points, rpc)(ask)
        rpc, ask = self._asks(6)[what]
        place.refused(
            lambda: getattr(place.client.points, rpc)(ask),
            "RESOURCE_EXHAUSTED",
            "6 results asked for: the policy allows 5",
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("what", ["facet", "groups"])
    def test_results_of_one_call_on_a_searchable_field(
        self, engine: Server, place: Guarded, tmp_path: Path, what: str
    ) -> None:
        policy = """
version: 1
collections:
  - match: "small-*"
    payload: {default: searchable}
    limits: {max_limit: 5}
"""
        assert place.proxy.key_file is not None
        with guarded(engine, tmp_path, policy, place.proxy.key_file) as other:
            params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
            config = q.VectorsConfig(params=params)
            other.client.collections.Create(q.CreateCollection(collection_name="small-facets", vectors_config=config))
            (rpc, few), (_, many) = self._asks(5)[what], self._asks(6)[what]
            few.collection_name = many.collection_name = "small-facets"
            index = q.CreateFieldIndexCollection(collection_name="small-facets", field_name="tag", wait=True)
            index.field_type = q.FieldType.FieldTypeKeyword
            other.client.points.CreateFieldIndex(index)
            getattr(other.client.points, rpc)(few)
            text = "6 results asked for: the policy allows 5"
            other.refused(lambda: getattr(other.client.points, rpc)(many), "RESOURCE_EXHAUSTED", text)
            other.client.collections.Delete(q.DeleteCollection(collection_name="small-facets"))

    @pytest.mark.parametrize("what", ["Upsert", "UpdateVectors", "UpdateBatch"])
    def test_points_of_one_write(self, place: Guarded, inputs: str, what: str) -> None:
        def write(count: int) -> Callable[[], object]:
            numbers = range(1, count + 1)
            if what == "UpdateVectors":
                updates = [q.PointVectors(id=q.PointId(num=min(i, 3)), vectors=unnamed(row(i))) for i in numbers]
                ask: Message = q.UpdatePointVectors(collection_name=OTHER, points=updates)
            else:
                points = [q.PointStruct(id=q.PointId(num=i), vectors=unnamed(row(i))) for i in numbers]
                ask = q.UpsertPoints(collection_name=OTHER, points=points)
                if what == "UpdateBatch":
                    ask = q.UpdateBatchPoints(collection_name=OTHER)
                    ask.operations.add().upsert.points.extend(points)
            return lambda: getattr(place.client.points, what)(ask)

        write(3)()
        place.refused(write(4), "RESOURCE_EXHAUSTED", "4 points in one write: the policy allows 3")

    def test_the_size_of_a_message(self, place: Guarded, inputs: str) -> None:
        def write(size: int) -> Callable[[], object]:
            payload = {"note": q.Value(string_value="x" * size)}
            point = q.PointStruct(id=ID, vectors=unnamed(row(1)), payload=payload)
            return lambda: place.client.points.Upsert(q.UpsertPoints(collection_name=OTHER, points=[point]))

        write(900_000)()
        place.refused(write(1_100_000), "RESOURCE_EXHAUSTED", "the policy allows 1 MiB")

    def test_a_message_beyond_what_the_server_takes(self, place: Guarded, inputs: str) -> None:
        body = q.UpsertPoints(collection_name=NAME).SerializeToString() + b"\x1a\xff\xff\xff\x20" + bytes(69_206_015)
        place.refused(lambda: place.client.raw("/qdrant.Points/Upsert", body), "RESOURCE_EXHAUSTED")


def _administration() -> dict[str, tuple[str, Message]]:
    some = {"collection_name": NAME}
    key = q.ShardKey(keyword="k")
    return {
        "Snapshots/Create": ("/qdrant.Snapshots/Create", q.CreateSnapshotRequest(**some)),
        "Snapshots/List": ("/qdrant.Snapshots/List", q.ListSnapshotsRequest(**some)),
        "Snapshots/Delete": ("/qdrant.Snapshots/Delete", q.DeleteSnapshotRequest(**some, snapshot_name="x")),
        "Snapshots/CreateFull": ("/qdrant.Snapshots/CreateFull", q.CreateFullSnapshotRequest()),
        "Snapshots/ListFull": ("/qdrant.Snapshots/ListFull", q.ListFullSnapshotsRequest()),
        "Snapshots/DeleteFull": ("/qdrant.Snapshots/DeleteFull", q.DeleteFullSnapshotRequest(snapshot_name="x")),
        "Collections/CreateShardKey": (
            "/qdrant.Collections/CreateShardKey",
            q.CreateShardKeyRequest(**some, request=q.CreateShardKey(shard_key=key)),
        ),
        "Collections/DeleteShardKey": (
            "/qdrant.Collections/DeleteShardKey",
            q.DeleteShardKeyRequest(**some, request=q.DeleteShardKey(shard_key=key)),
        ),
        "Collections/UpdateCollectionClusterSetup": (
            "/qdrant.Collections/UpdateCollectionClusterSetup",
            q.UpdateCollectionClusterSetupRequest(**some, drop_replica=q.Replica(shard_id=0, peer_id=1)),
        ),
    }


class TestAdministration:
    @pytest.mark.parametrize("rpc", _administration())
    def test_needs_the_admin_action(self, place: Guarded, inputs: str, rpc: str) -> None:
        method, ask = _administration()[rpc]
        place.refused(lambda: place.client.raw(method, ask.SerializeToString()), "PERMISSION_DENIED", "may not admin")

    @pytest.mark.slow
    def test_is_passed_on_where_the_policy_allows_it(
        self, engine: Server, place: Guarded, inputs: str, tmp_path: Path
    ) -> None:
        assert place.proxy.policy is not None
        assert place.proxy.key_file is not None
        policy = place.proxy.policy.read_text().replace("[read, write]", "[read, admin]")
        with guarded(engine, tmp_path, policy, place.proxy.key_file) as admin:
            for method, ask in _administration().values():
                admin.recorder.clear()
                with contextlib.suppress(grpc.RpcError):  # the engine may not serve it, or not find it
                    admin.client.raw(method, ask.SerializeToString())
                # Full snapshots are for nobody whom detection blocks on one of the collections that are in them.
                before = ["/qdrant.Collections/List"] if method.endswith("Full") else []
                assert admin.recorder.forwarded == [*before, method]
            # No action implies another.
            write = q.UpsertPoints(collection_name=NAME)
            admin.refused(lambda: admin.client.points.Upsert(write), "PERMISSION_DENIED", "may not write")
            replicate = q.UpdateCollectionClusterSetupRequest(collection_name=NAME)
            replicate.replicate_points.filter.must.add().field.key = "tag"
            setup = admin.client.collections.UpdateCollectionClusterSetup
            admin.refused(lambda: setup(replicate), "INVALID_ARGUMENT", "replicate_points with a filter is refused")

    @pytest.mark.slow
    def test_reading_does_not_imply_writing(self, engine: Server, place: Guarded, inputs: str, tmp_path: Path) -> None:
        assert place.proxy.policy is not None
        assert place.proxy.key_file is not None
        policy = place.proxy.policy.read_text().replace("[read, write]", "[read]")
        with guarded(engine, tmp_path, policy, place.proxy.key_file) as reader:
            assert reader.client.points.Count(q.CountPoints(collection_name=NAME)).result.count == 3
            some = {"collection_name": NAME}
            selector = q.PointsSelector(points=q.PointsIdsList(ids=[ID]))
            points, collections = reader.client.points, reader.client.collections
            alias = q.AliasOperations(create_alias=q.CreateAlias(**some, alias_name="box-x"))
            for call in (
                lambda: points.Upsert(q.UpsertPoints(**some)),
                lambda: points.UpdateBatch(q.UpdateBatchPoints(**some)),
                lambda: points.UpdateVectors(q.UpdatePointVectors(**some)),
                lambda: points.DeleteVectors(q.DeletePointVectors(**some, points_selector=selector)),
                lambda: points.Delete(q.DeletePoints(**some, points=selector)),
                lambda: points.SetPayload(q.SetPayloadPoints(**some, points_selector=selector)),
                lambda: points.OverwritePayload(q.SetPayloadPoints(**some, points_selector=selector)),
                lambda: points.DeletePayload(q.DeletePayloadPoints(**some, points_selector=selector)),
                lambda: points.ClearPayload(q.ClearPayloadPoints(**some, points=selector)),
                lambda: points.CreateFieldIndex(q.CreateFieldIndexCollection(**some, field_name="tag")),
                lambda: points.DeleteFieldIndex(q.DeleteFieldIndexCollection(**some, field_name="tag")),
                lambda: points.CreateVectorName(q.CreateVectorNameRequest(**some, vector_name="x")),
                lambda: points.DeleteVectorName(q.DeleteVectorNameRequest(**some, vector_name="x")),
                lambda: collections.Create(q.CreateCollection(collection_name="box-new")),
                lambda: collections.Update(q.UpdateCollection(**some)),
                lambda: collections.Delete(q.DeleteCollection(**some)),
                lambda: collections.UpdateAliases(q.ChangeAliases(actions=[alias])),
            ):
                reader.refused(call, "PERMISSION_DENIED", "may not write")
