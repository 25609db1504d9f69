"""Replies as JSON: every kind of vector, value, id and description; held against the OpenAPI models."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from qdrant_client import grpc as q

from front.rest.openapi import check
from vecguard.errors import NotFound, UpstreamFailure
from vecguard.front.rest import answers
from vecguard.front.rest.endpoint import Bare, Request, Text

ALL = q.WithPayloadSelector(enable=True)
UUID = "0e41c6b1-9f1c-4d7a-b1b3-111111111111"


def printed(tree: Any) -> Any:
    return orjson.loads(orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY))


def request(sent: Any = None, **path: str) -> Request:
    return Request(path, {}, None, sent)


def checked(method: str, path: str, tree: Any) -> Any:
    content = printed({"result": tree, "status": "ok", "time": 0.5})
    check(method, path, 200, content)
    return content["result"]


def dense(*values: float) -> q.VectorOutput:
    return q.VectorOutput(dense=q.DenseVector(data=values))


VECTORS = {
    "dense": (q.VectorsOutput(vector=dense(0.1, -2)), [0.1, -2.0]),
    "deprecated": (q.VectorsOutput(vector=q.VectorOutput(data=[0.1, 3])), [0.1, 3.0]),
    "multi": (
        q.VectorsOutput(
            vector=q.VectorOutput(
                multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=[1, 2]), q.DenseVector(data=[3, 4])])
            )
        ),
        [[1.0, 2.0], [3.0, 4.0]],
    ),
    "named": (
        q.VectorsOutput(
            vectors=q.NamedVectorsOutput(
                vectors={
                    "a": dense(1),
                    "s": q.VectorOutput(sparse=q.SparseVector(indices=[7, 4294967295], values=[0.3, 1])),
                }
            )
        ),
        {"a": [1.0], "s": {"indices": [7, 4294967295], "values": [0.3, 1.0]}},
    ),
    "none-of-the-names": (q.VectorsOutput(vectors=q.NamedVectorsOutput()), {}),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors(name: str) -> None:
    message, expected = VECTORS[name]
    reply = q.GetResponse(result=[q.RetrievedPoint(id=q.PointId(num=1), vectors=message)])
    [point] = checked("POST", "/collections/c/points", answers.retrieved(reply, request(q.GetPoints())))
    assert point == {"id": 1, "vector": expected}


def test_payloads() -> None:
    values = {
        "null": q.Value(null_value=q.NullValue.NULL_VALUE),
        "nothing": q.Value(),
        "list": q.Value(list_value=q.ListValue(values=[q.Value(integer_value=2), q.Value(double_value=2)])),
        "map": q.Value(struct_value=q.Struct(fields={"": q.Value(bool_value=False)})),
        "nan": q.Value(double_value=float("nan")),
    }
    reply = q.ScrollResponse(
        result=[
            q.RetrievedPoint(id=q.PointId(uuid=UUID), payload=values),
            q.RetrievedPoint(id=q.PointId(num=2**64 - 1)),
        ],
        next_page_offset=q.PointId(uuid=UUID),
    )
    found = checked(
        "POST", "/collections/c/points/scroll", answers.scrolled(reply, request(q.ScrollPoints(with_payload=ALL)))
    )
    assert found["next_page_offset"] == UUID
    first, second = found["points"]
    assert first["payload"] == {"null": None, "nothing": None, "list": [2, 2.0], "map": {"": False}, "nan": None}
    assert type(first["payload"]["list"][1]) is float
    assert second == {"id": 2**64 - 1, "payload": {}}
    without = answers.scrolled(q.ScrollResponse(result=reply.result[1:]), request(q.ScrollPoints()))
    assert printed(without) == {"points": [{"id": 2**64 - 1}], "next_page_offset": None}


def test_scored_points() -> None:
    point = q.ScoredPoint(
        id=q.PointId(num=1),
        score=0.1,
        version=5,
        shard_key=q.ShardKey(keyword="k"),
        order_value=q.OrderValue(float=2),
        payload={"a": q.Value(string_value="x")},
    )
    reply = q.QueryResponse(result=[point, q.ScoredPoint(id=q.PointId(num=2), order_value=q.OrderValue(int=3))])
    found = checked("POST", "/collections/c/points/query", answers.queried(reply, request(q.QueryPoints())))
    assert found["points"] == [
        {"id": 1, "score": 0.1, "version": 5, "shard_key": "k", "order_value": 2.0, "payload": {"a": "x"}},
        {"id": 2, "score": 0.0, "version": 0, "order_value": 3},
    ]


def test_batches_show_what_each_of_their_requests_asked_for() -> None:
    asks = [q.QueryPoints(with_payload=ALL), q.QueryPoints()]
    one = q.BatchResult(result=[q.ScoredPoint(id=q.PointId(num=1))])
    reply = q.QueryBatchResponse(result=[one, one])
    tree = answers.queried_batch(reply, request(q.QueryBatchPoints(query_points=asks)))
    first, second = checked("POST", "/collections/c/points/query/batch", tree)
    assert first["points"][0]["payload"] == {}
    assert "payload" not in second["points"][0]
    old = q.SearchBatchPoints(search_points=[q.SearchPoints(with_payload=ALL), q.SearchPoints()])
    first, second = checked(
        "POST",
        "/collections/c/points/search/batch",
        answers.found_batch(q.SearchBatchResponse(result=[one, one]), request(old)),
    )
    assert "payload" in first[0]
    assert "payload" not in second[0]
    assert answers.queried_batch(q.QueryBatchResponse(), request(q.QueryBatchPoints())) == []


def test_groups() -> None:
    kinds = [q.GroupId(unsigned_value=5), q.GroupId(integer_value=-5), q.GroupId(string_value="x")]
    groups = [q.PointGroup(id=kind, hits=[q.ScoredPoint(id=q.PointId(num=1))]) for kind in kinds]
    groups[0].lookup.CopyFrom(q.RetrievedPoint(id=q.PointId(num=9)))
    ask = q.QueryPointGroups(with_lookup=q.WithLookup(collection="c", with_payload=ALL))
    reply = q.QueryGroupsResponse(result=q.GroupsResult(groups=groups))
    found = checked("POST", "/collections/c/points/query/groups", answers.grouped(reply, request(ask)))
    assert [group["id"] for group in found["groups"]] == [5, -5, "x"]
    assert found["groups"][0]["lookup"] == {"id": 9, "payload": {}}
    assert "lookup" not in found["groups"][1]


def test_facets_and_matrices() -> None:
    values = [q.FacetValue(string_value="x"), q.FacetValue(integer_value=-3), q.FacetValue(bool_value=False)]
    reply = q.FacetResponse(hits=[q.FacetHit(value=value, count=2) for value in values])
    found = checked("POST", "/collections/c/facet", answers.faceted(reply, request()))
    assert [hit["value"] for hit in found["hits"]] == ["x", -3, False]
    pair = q.SearchMatrixPair(a=q.PointId(num=1), b=q.PointId(uuid=UUID), score=0.7)
    tree = answers.pairs(q.SearchMatrixPairsResponse(result=q.SearchMatrixPairs(pairs=[pair])), request())
    assert checked("POST", "/collections/c/points/search/matrix/pairs", tree) == {
        "pairs": [{"a": 1, "b": UUID, "score": 0.7}]
    }
    offsets = q.SearchMatrixOffsets(
        offsets_row=[0], offsets_col=[1], scores=[0.7], ids=[q.PointId(num=1), q.PointId(num=2)]
    )
    tree = answers.offsets(q.SearchMatrixOffsetsResponse(result=offsets), request())
    assert checked("POST", "/collections/c/points/search/matrix/offsets", tree) == {
        **{"offsets_row": [0], "offsets_col": [1]},
        **{"scores": [0.7], "ids": [1, 2]},
    }


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (q.UpdateStatus.Acknowledged, "acknowledged"),
        (q.UpdateStatus.Completed, "completed"),
        (q.UpdateStatus.WaitTimeout, "wait_timeout"),
    ],
)
def test_writes(status: Any, text: str) -> None:
    reply = q.PointsOperationResponse(result=q.UpdateResult(operation_id=0, status=status))
    assert checked("PUT", "/collections/c/points", answers.updated(reply, request())) == {
        "operation_id": 0,
        "status": text,
    }
    batch = q.UpdateBatchResponse(result=[q.UpdateResult(status=status)])
    assert checked("POST", "/collections/c/points/batch", answers.updated_batch(batch, request())) == [{"status": text}]


@pytest.mark.parametrize("status", [q.UpdateStatus.UnknownUpdateStatus, q.UpdateStatus.ClockRejected, 99])
def test_a_status_that_rest_has_no_word_for(status: int) -> None:
    with pytest.raises(UpstreamFailure):
        answers.updated(q.PointsOperationResponse(result=q.UpdateResult(status=status)), request())  # type: ignore[arg-type]


def test_a_point_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="Point with id 5 does not exists!"):
        answers.one_point(q.GetResponse(), request(id="5"))


def test_snapshots() -> None:
    description = q.SnapshotDescription(name="s", size=3, checksum="c")
    description.creation_time.FromJsonString("2024-02-03T04:05:06.789Z")
    reply = q.ListSnapshotsResponse(snapshot_descriptions=[description, q.SnapshotDescription(name="t")])
    first, second = checked("GET", "/snapshots", answers.snapshots(reply, request()))
    assert first == {"name": "s", "size": 3, "creation_time": "2024-02-03T04:05:06", "checksum": "c"}
    assert second == {"name": "t", "size": 0}
    created = q.CreateSnapshotResponse(snapshot_description=description)
    assert checked("POST", "/snapshots", answers.snapshot(created, request()))["name"] == "s"
    assert checked("DELETE", "/snapshots/s", answers.deleted(q.DeleteSnapshotResponse(), request())) is True


def test_names_and_layout() -> None:
    aliases = q.ListAliasesResponse(aliases=[q.AliasDescription(alias_name="a", collection_name="c")])
    assert checked("GET", "/aliases", answers.aliases(aliases, request()))["aliases"][0]["alias_name"] == "a"
    keys = q.ListShardKeysResponse(shard_keys=[q.ShardKeyDescription(key=q.ShardKey(number=3))])
    assert checked("GET", "/collections/c/shards", answers.shard_keys(keys, request())) == {"shard_keys": [{"key": 3}]}
    layout = q.CollectionClusterInfoResponse(
        peer_id=1,
        shard_count=1,
        local_shards=[q.LocalShardInfo(shard_id=0, points_count=5, state=q.ReplicaState.Active)],
        shard_transfers=[q.ShardTransferInfo(shard_id=0, to=2, sync=True, **{"from": 1})],
    )
    found = checked("GET", "/collections/c/cluster", answers.cluster(layout, request()))
    assert (found["local_shards"][0]["state"], found["shard_transfers"][0]["from"]) == ("Active", 1)
    version = answers.version(q.HealthCheckReply(title="t", version="1", commit="c"), request())
    assert version == Bare({"title": "t", "version": "1", "commit": "c"})
    assert answers.healthy("fine")(q.HealthCheckReply(), request()) == Text("fine")


def test_metadata_keeps_its_nulls() -> None:
    info = q.GetCollectionInfoResponse()
    info.result.status = q.CollectionStatus.Green
    info.result.optimizer_status.ok = True
    hnsw = info.result.config.hnsw_config
    hnsw.m, hnsw.ef_construct, hnsw.full_scan_threshold = 16, 100, 10_000
    info.result.config.optimizer_config.default_segment_number = 2
    info.result.config.wal_config.wal_capacity_mb = 32
    info.result.config.wal_config.wal_segments_ahead = 0
    info.result.config.metadata["a"].struct_value.fields["b"].null_value = q.NullValue.NULL_VALUE
    info.result.payload_schema["f"].data_type = q.PayloadSchemaType.Keyword
    found = checked("GET", "/collections/c", answers.collection(info, request()))
    assert found["config"]["metadata"] == {"a": {"b": None}}
    assert found["payload_schema"]["f"]["data_type"] == "keyword"


def test_usage() -> None:
    assert answers.usage(q.CollectionOperationResponse()) is None
    assert answers.usage(q.QueryResponse()) is None
    assert answers.usage(q.QueryResponse(usage=q.Usage())) is None
    told = q.Usage(hardware=q.HardwareUsage(cpu=5), inference=q.InferenceUsage(models={"m": q.ModelUsage(tokens=3)}))
    shown = answers.usage(q.QueryResponse(usage=told))
    assert shown["hardware"]["cpu"] == 5
    assert set(shown["hardware"]) == {field.name for field in q.HardwareUsage.DESCRIPTOR.fields}
    assert shown["inference"] == {"models": {"m": {"tokens": 3}}}


def test_floats_are_printed_as_float32() -> None:
    values = np.random.default_rng(3).standard_normal(50).astype(np.float32)
    reply = q.GetResponse(
        result=[q.RetrievedPoint(id=q.PointId(num=1), vectors=q.VectorsOutput(vector=dense(*values)))]
    )
    text = orjson.dumps(answers.retrieved(reply, request(q.GetPoints())), option=orjson.OPT_SERIALIZE_NUMPY).decode()
    assert all(str(value) in text for value in values)
