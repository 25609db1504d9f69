"""`qdrant.Collections` through gRPC: answers, statuses and wording as a Qdrant server gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from vecguard.stamp import stamp_in

from .conftest import refusal
from .edge_points import dense_request

Name = Callable[..., str]


@pytest.fixture(scope="module")
def collections(engine_target: str) -> Iterator[pb.CollectionsStub]:
    """The raw RPCs."""
    with grpc.insecure_channel(engine_target) as channel:
        yield pb.CollectionsStub(channel)


def _info(collections: pb.CollectionsStub, name: str) -> pb.CollectionInfo:
    return collections.Get(pb.GetCollectionInfoRequest(collection_name=name)).result


def test_a_new_collection_reports_qdrants_defaults(collections: pb.CollectionsStub, collection_name: Name) -> None:
    name = collection_name()
    before = time.time()
    created = collections.Create(dense_request(name, 4))
    assert created.result is True
    assert created.time > 0
    info = _info(collections, name)
    assert info.status == pb.CollectionStatus.Green
    assert info.optimizer_status.ok
    assert (info.points_count, info.indexed_vectors_count, info.segments_count) == (0, 0, 1)
    assert before - 1 < info.created_at.seconds + info.created_at.nanos / 1e9 < time.time() + 1
    config = info.config
    assert (config.params.shard_number, config.params.replication_factor) == (1, 1)
    assert config.params.write_consistency_factor == 1
    assert config.params.on_disk_payload is True
    assert config.params.vectors_config.params == pb.VectorParams(size=4, distance=pb.Cosine)
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (16, 100)
    assert config.hnsw_config.full_scan_threshold == 10000
    assert config.optimizer_config.indexing_threshold == 10000
    assert config.optimizer_config.flush_interval_sec == 5
    assert config.wal_config.wal_capacity_mb == 32


def test_what_was_asked_for_is_what_is_shown(client: QdrantClient, collection_name: Name) -> None:
    name = collection_name()
    asked = {
        "text": models.VectorParams(
            size=8,
            distance=models.Distance.DOT,
            hnsw_config=models.HnswConfigDiff(m=8),
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.75, always_ram=True)
            ),
            on_disk=True,
        ),
        "tokens": models.VectorParams(
            size=4,
            distance=models.Distance.COSINE,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=models.Datatype.FLOAT16,
        ),
    }
    sparse = {"words": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    client.create_collection(
        name,
        vectors_config=asked,
        sparse_vectors_config=sparse,
        metadata={"owner": "ward 7", "rev": 3, "flags": [True, None, 1.5], "nested": {"a": "ü"}},
        hnsw_config=models.HnswConfigDiff(m=32, ef_construct=64),
    )
    config = client.get_collection(name).config
    assert config.params.vectors == asked
    assert config.params.sparse_vectors == sparse
    assert config.metadata == {"owner": "ward 7", "rev": 3, "flags": [True, None, 1.5], "nested": {"a": "ü"}}
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (32, 64)


@pytest.mark.parametrize(
    "quantization",
    [
        models.ProductQuantization(product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)),
        models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(encoding=models.BinaryQuantizationEncoding.TWO_BITS)
        ),
    ],
)
def test_quantization_is_taken_and_shown(client: QdrantClient, collection_name: Name, quantization: object) -> None:
    name = collection_name()
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=16, distance=models.Distance.EUCLID),
        quantization_config=quantization,  # type: ignore[arg-type]
    )
    assert client.get_collection(name).config.quantization_config == quantization


def test_creating_twice_and_getting_nothing_are_refused_in_qdrants_words(
    collections: pb.CollectionsStub, collection_name: Name
) -> None:
    name = collection_name()
    collections.Create(dense_request(name, 4))
    assert refusal(lambda: collections.Create(dense_request(name, 4))) == (
        grpc.StatusCode.ALREADY_EXISTS,
        f"Wrong input: Collection `{name}` already exists!",
    )
    for call in (
        lambda: collections.Get(pb.GetCollectionInfoRequest(collection_name="no-such")),
        lambda: collections.Update(pb.UpdateCollection(collection_name="no-such")),
        lambda: collections.ListCollectionAliases(pb.ListCollectionAliasesRequest(collection_name="no-such")),
        lambda: collections.CollectionClusterInfo(pb.CollectionClusterInfoRequest(collection_name="no-such")),
    ):
        assert refusal(call) == (
            grpc.StatusCode.NOT_FOUND,
            "Not found: Collection `no-such` doesn't exist!",
        )
    assert collections.Delete(pb.DeleteCollection(collection_name="no-such")).result is False
    assert refusal(lambda: collections.Get(pb.GetCollectionInfoRequest())) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        'Validation error in body: [collection_name: value "" invalid, must be from 1 to 255 characters]',
    )
    assert refusal(lambda: collections.Delete(pb.DeleteCollection(collection_name=name, timeout=0))) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Validation error in body: [timeout: value 0 invalid, must be 1 or larger]",
    )


@pytest.mark.parametrize(
    ("vector", "status", "text"),
    [
        (
            pb.VectorParams(size=0, distance=pb.Dot),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Validation error in body: [vectors_config.config.params.size: value 0 invalid, must be from 1 to 65536]",
        ),
        (
            pb.VectorParams(size=65537, distance=pb.Dot),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Validation error in body: [vectors_config.config.params.size: value 65537 invalid, "
            "must be from 1 to 65536]",
        ),
        (
            pb.VectorParams(size=4),
            grpc.StatusCode.INVALID_ARGUMENT,
            "Malformed distance parameter: UnknownDistance",
        ),
        (
            pb.VectorParams(size=4, distance=pb.Dot, datatype=pb.Datatype.Turbo4),
            grpc.StatusCode.UNIMPLEMENTED,
            "The embedded engine does not support vector datatype Turbo4",
        ),
    ],
)
def test_impossible_vectors_are_refused(
    collections: pb.CollectionsStub, vector: pb.VectorParams, status: grpc.StatusCode, text: str
) -> None:
    request = pb.CreateCollection(collection_name="impossible", vectors_config=pb.VectorsConfig(params=vector))
    assert refusal(lambda: collections.Create(request)) == (status, text)
    asked = pb.CollectionExistsRequest(collection_name="impossible")
    assert collections.CollectionExists(asked).result.exists is False


def test_an_update_merges_into_the_configuration(client: QdrantClient, collection_name: Name) -> None:
    name = collection_name()
    client.create_collection(
        name,
        vectors_config={"a": models.VectorParams(size=4, distance=models.Distance.DOT)},
        sparse_vectors_config={"s": models.SparseVectorParams()},
        metadata={"keep": 1, "drop": 2, "change": 3},
    )
    client.update_collection(
        name,
        vectors_config={"a": models.VectorParamsDiff(hnsw_config=models.HnswConfigDiff(m=4), on_disk=True)},
        sparse_vectors_config={"s": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        hnsw_config=models.HnswConfigDiff(ef_construct=50),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=500),
        metadata={"drop": None, "change": "new", "more": [1]},
    )
    config = client.get_collection(name).config
    changed = config.params.vectors["a"]  # type: ignore[index]
    assert (changed.size, changed.hnsw_config.m, changed.on_disk) == (4, 4, True)
    assert config.params.sparse_vectors["s"].modifier == models.Modifier.IDF  # type: ignore[index]
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (16, 50)
    assert config.optimizer_config.indexing_threshold == 500
    assert config.metadata == {"keep": 1, "change": "new", "more": [1]}


def test_an_update_of_a_vector_that_is_not_there_changes_nothing(
    collections: pb.CollectionsStub, collection_name: Name
) -> None:
    name = collection_name()
    collections.Create(dense_request(name, 4))
    before = _info(collections, name).config
    request = pb.UpdateCollection(collection_name=name, hnsw_config=pb.HnswConfigDiff(m=4))
    request.vectors_config.params_map.map["b"].on_disk = True
    assert refusal(lambda: collections.Update(request)) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Wrong input: Not existing vector name error: b",
    )
    assert _info(collections, name).config == before


def test_quantization_is_switched_on_and_off(client: QdrantClient, collection_name: Name) -> None:
    name = collection_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    client.update_collection(name, quantization_config=scalar)
    assert client.get_collection(name).config.quantization_config == scalar
    client.update_collection(name, quantization_config=models.Disabled.DISABLED)
    assert client.get_collection(name).config.quantization_config is None


def test_listing_existence_and_deletion(client: QdrantClient, collection_name: Name) -> None:
    names = [collection_name("-a"), collection_name("-b")]
    for name in names:
        client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    assert set(names) <= {one.name for one in client.get_collections().collections}
    assert client.collection_exists(names[0])
    assert client.delete_collection(names[0]) is True
    assert not client.collection_exists(names[0])
    assert client.delete_collection(names[0]) is False
    assert client.collection_exists(names[1])


def test_aliases_stand_for_their_collection(
    client: QdrantClient, collections: pb.CollectionsStub, collection_name: Name
) -> None:
    name, alias = collection_name(), "an-alias"
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))
    client.update_collection_aliases([create])
    assert client.collection_exists(alias)
    client.upsert(alias, [models.PointStruct(id=1, vector=[1.0, 0.0])])
    assert client.count(name).count == 1
    assert client.get_collection(alias).points_count == 1
    assert [one.alias_name for one in client.get_collection_aliases(name).aliases] == [alias]
    rename = models.RenameAlias(old_alias_name=alias, new_alias_name="renamed")
    client.update_collection_aliases([models.RenameAliasOperation(rename_alias=rename)])
    listed = {one.alias_name: one.collection_name for one in client.get_aliases().aliases}
    assert listed["renamed"] == name
    assert alias not in listed
    taken = pb.CreateCollection(collection_name="renamed")
    code, text = refusal(lambda: collections.Create(taken))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Alias with the same name already exists" in text
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="renamed"))
    client.update_collection_aliases([delete])
    assert not client.collection_exists("renamed")


def test_it_is_a_single_node(collections: pb.CollectionsStub, collection_name: Name) -> None:
    name = collection_name()
    collections.Create(dense_request(name, 4))
    cluster = collections.CollectionClusterInfo(pb.CollectionClusterInfoRequest(collection_name=name))
    assert cluster.shard_count == 1
    assert [shard.state for shard in cluster.local_shards] == [pb.ReplicaState.Active]
    assert not cluster.remote_shards
    assert not collections.ListShardKeys(pb.ListShardKeysRequest(collection_name=name)).shard_keys
    for call in (
        lambda: collections.CreateShardKey(pb.CreateShardKeyRequest(collection_name=name)),
        lambda: collections.DeleteShardKey(pb.DeleteShardKeyRequest(collection_name=name)),
        lambda: collections.UpdateCollectionClusterSetup(pb.UpdateCollectionClusterSetupRequest(collection_name=name)),
    ):
        assert refusal(call) == (grpc.StatusCode.INVALID_ARGUMENT, "Bad request: Distributed mode disabled")


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        ("k", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True, on_disk=True)),
        ("i", models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=False)),
        ("f", models.FloatIndexParams(type=models.FloatIndexType.FLOAT, is_principal=True)),
        ("g", models.GeoIndexParams(type=models.GeoIndexType.GEO)),
        ("b", models.BoolIndexParams(type=models.BoolIndexType.BOOL)),
        ("d", models.DatetimeIndexParams(type=models.DatetimeIndexType.DATETIME)),
        ("u", models.UuidIndexParams(type=models.UuidIndexType.UUID, is_tenant=True)),
        (
            "t.sub[].x",
            models.TextIndexParams(
                type=models.TextIndexType.TEXT,
                tokenizer=models.TokenizerType.WORD,
                min_token_len=2,
                max_token_len=20,
                lowercase=True,
                phrase_matching=True,
                stopwords=models.StopwordsSet(languages=[models.Language.ENGLISH], custom=["patient"]),
                stemmer=models.SnowballParams(type=models.Snowball.SNOWBALL, language=models.SnowballLanguage.ENGLISH),
            ),
        ),
    ],
)
def test_payload_indexes_are_shown_as_they_were_made(
    client: QdrantClient, collection_name: Name, field: str, schema: object
) -> None:
    name = collection_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    client.create_payload_index(name, field, field_schema=schema)  # type: ignore[arg-type]
    shown = client.get_collection(name).payload_schema
    assert list(shown) == [field]
    assert shown[field].params == schema
    client.delete_payload_index(name, field)
    assert client.get_collection(name).payload_schema == {}


def _stamp(rpc: Any, ask: Any) -> str:
    _, call = rpc.with_call(ask)
    return stamp_in(call.trailing_metadata())


def _stamps(collections: pb.CollectionsStub, points: pb.PointsStub, name: str) -> list[str]:
    """Those beside a read of a collection's configuration, and beside writes of points in both forms."""
    batch = pb.PointsUpdateOperation.PointStructList(points=[_point()])
    return [
        _stamp(collections.Get, pb.GetCollectionInfoRequest(collection_name=name)),
        _stamp(points.Upsert, pb.UpsertPoints(collection_name=name, points=[_point()], wait=True)),
        _stamp(
            points.UpdateBatch,
            pb.UpdateBatchPoints(collection_name=name, operations=[pb.PointsUpdateOperation(upsert=batch)]),
        ),
    ]


def _point() -> pb.PointStruct:
    return pb.PointStruct(id=pb.PointId(num=1), vectors=pb.Vectors(vector=pb.Vector(data=[1, 2, 3, 4])))


def test_a_stamp_stays_until_the_configuration_is_another(
    collections: pb.CollectionsStub, points: pb.PointsStub, collection_name: Name
) -> None:
    name, alias = collection_name(), collection_name("-alias")
    collections.Create(dense_request(name, 4))
    create = pb.CreateAlias(collection_name=name, alias_name=alias)
    collections.UpdateAliases(pb.ChangeAliases(actions=[pb.AliasOperations(create_alias=create)]))
    seen = set()

    def one() -> None:
        """All agree on one that was not there before."""
        (stamp,) = {*_stamps(collections, points, name), *_stamps(collections, points, alias)}
        assert stamp
        assert stamp not in seen
        seen.add(stamp)

    one()
    collections.Update(pb.UpdateCollection(collection_name=name, metadata={"a": pb.Value(string_value="b")}))
    one()
    collections.Update(pb.UpdateCollection(collection_name=name, metadata={"a": pb.Value(string_value="b")}))
    one()
    dense = pb.DenseVectorCreationConfig(size=4, distance=pb.Cosine)
    points.CreateVectorName(pb.CreateVectorNameRequest(collection_name=name, vector_name="v", dense_config=dense))
    one()
    collections.Delete(pb.DeleteCollection(collection_name=name))
    collections.Create(dense_request(name, 4))
    collections.UpdateAliases(pb.ChangeAliases(actions=[pb.AliasOperations(create_alias=create)]))
    one()


def test_an_alias_that_leads_elsewhere_has_another_stamp(
    collections: pb.CollectionsStub, points: pb.PointsStub, collection_name: Name
) -> None:
    names, alias = [collection_name("-1"), collection_name("-2")], collection_name("-alias")
    found = []
    for name in names:
        collections.Create(dense_request(name, 4))
        create = pb.AliasOperations(create_alias=pb.CreateAlias(collection_name=name, alias_name=alias))
        collections.UpdateAliases(pb.ChangeAliases(actions=[create]))
        found += _stamps(collections, points, alias)
    assert len(set(found)) == 2


def test_other_answers_have_no_stamp(
    collections: pb.CollectionsStub, points: pb.PointsStub, collection_name: Name
) -> None:
    name = collection_name()
    collections.Create(dense_request(name, 4))
    assert _stamp(points.Count, pb.CountPoints(collection_name=name)) == ""
    assert _stamp(collections.List, pb.ListCollectionsRequest()) == ""
