"""Payload indexes of every type with every parameter, and named vectors added to a live collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb

from .conftest import refusal

INVALID = grpc.StatusCode.INVALID_ARGUMENT

TYPES = {
    "Keyword": pb.FieldType.FieldTypeKeyword,
    "Integer": pb.FieldType.FieldTypeInteger,
    "Float": pb.FieldType.FieldTypeFloat,
    "Geo": pb.FieldType.FieldTypeGeo,
    "Text": pb.FieldType.FieldTypeText,
    "Bool": pb.FieldType.FieldTypeBool,
    "Datetime": pb.FieldType.FieldTypeDatetime,
    "Uuid": pb.FieldType.FieldTypeUuid,
}
PARAMS: list[pb.PayloadIndexParams] = [
    pb.PayloadIndexParams(
        keyword_index_params=pb.KeywordIndexParams(
            is_tenant=True, enable_hnsw=False, memory=pb.Memory.Cold, prefix=pb.KeywordPrefixParams()
        )
    ),
    pb.PayloadIndexParams(
        integer_index_params=pb.IntegerIndexParams(lookup=True, range=False, is_principal=False, on_disk=True)
    ),
    pb.PayloadIndexParams(float_index_params=pb.FloatIndexParams(is_principal=True, memory=pb.Memory.Cached)),
    pb.PayloadIndexParams(geo_index_params=pb.GeoIndexParams(on_disk=True)),
    pb.PayloadIndexParams(
        text_index_params=pb.TextIndexParams(
            tokenizer=pb.TokenizerType.Whitespace,
            lowercase=False,
            ascii_folding=True,
            min_token_len=2,
            max_token_len=10,
            phrase_matching=True,
            stopwords=pb.StopwordsSet(languages=["english", "german"], custom=["foo"]),
            stemmer=pb.StemmingAlgorithm(snowball=pb.SnowballParams(language="english")),
        )
    ),
    pb.PayloadIndexParams(bool_index_params=pb.BoolIndexParams(on_disk=False)),
    pb.PayloadIndexParams(datetime_index_params=pb.DatetimeIndexParams(is_principal=True)),
    pb.PayloadIndexParams(uuid_index_params=pb.UuidIndexParams(is_tenant=True, enable_hnsw=True)),
]


@pytest.fixture
def plain(client: QdrantClient, collection_name: Callable[[str], str]) -> str:
    name = collection_name()
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT))
    return name


@pytest.fixture(scope="session")
def collections(engine_target: str) -> Any:
    with grpc.insecure_channel(engine_target) as channel:
        yield pb.CollectionsStub(channel)


def _create(points: pb.PointsStub, collection: str, **fields: Any) -> pb.UpdateResult:
    request = pb.CreateFieldIndexCollection(
        **{"collection_name": collection, "field_name": "f", "wait": True, **fields}
    )
    return points.CreateFieldIndex(request).result


def _schema(collections: pb.CollectionsStub, collection: str) -> dict[str, pb.PayloadSchemaInfo]:
    info = collections.Get(pb.GetCollectionInfoRequest(collection_name=collection)).result
    return dict(info.payload_schema)


@pytest.mark.parametrize("kind", TYPES)
def test_index_of_a_bare_type(points: pb.PointsStub, collections: pb.CollectionsStub, plain: str, kind: str) -> None:
    assert _create(points, plain, field_type=TYPES[kind]).status == pb.UpdateStatus.Completed
    assert pb.PayloadSchemaType.Name(_schema(collections, plain)["f"].data_type) == kind


@pytest.mark.parametrize("params", PARAMS, ids=[params.WhichOneof("index_params") for params in PARAMS])
def test_index_parameters_are_kept(
    points: pb.PointsStub, collections: pb.CollectionsStub, plain: str, params: pb.PayloadIndexParams
) -> None:
    _create(points, plain, field_index_params=params)
    kept = _schema(collections, plain)["f"].params
    kind = params.WhichOneof("index_params")
    for field, value in getattr(params, kind).ListFields():
        told = getattr(getattr(kept, kind), field.name)
        if field.name == "stopwords":
            assert (sorted(told.languages), sorted(told.custom)) == (sorted(value.languages), sorted(value.custom))
        else:
            assert told == value, field.name


def test_index_is_deleted(points: pb.PointsStub, collections: pb.CollectionsStub, plain: str) -> None:
    _create(points, plain, field_type=TYPES["Keyword"])
    request = pb.DeleteFieldIndexCollection(collection_name=plain, field_name="f", wait=True)
    assert points.DeleteFieldIndex(request).result.status == pb.UpdateStatus.Completed
    assert not _schema(collections, plain)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "cannot convert field_type"),
        ({"field_type": 99}, "cannot convert field_type"),
        ({"field_type": TYPES["Keyword"], "field_name": ""}, "field_name"),
        ({"field_type": TYPES["Keyword"], "field_name": "a["}, "Invalid json path: 'a['"),
        (
            {"field_type": TYPES["Keyword"], "field_index_params": PARAMS[1]},
            "field_type and field_index_params do not match",
        ),
        (
            {"field_index_params": pb.PayloadIndexParams(text_index_params=pb.TextIndexParams())},
            "unknown tokenizer type",
        ),
        (
            {
                "field_index_params": pb.PayloadIndexParams(
                    text_index_params=pb.TextIndexParams(
                        tokenizer=pb.TokenizerType.Word, stopwords=pb.StopwordsSet(languages=["klingon"])
                    )
                )
            },
            "unknown stopwords language `klingon`",
        ),
    ],
)
def test_index_refusals(
    points: pb.PointsStub, collections: pb.CollectionsStub, plain: str, fields: dict[str, Any], text: str
) -> None:
    status, details = refusal(lambda: _create(points, plain, **fields))
    assert (status, text in details) == (INVALID, True), details
    assert not _schema(collections, plain)


def _create_vector(points: pb.PointsStub, collection: str, **fields: Any) -> pb.UpdateResult:
    request = pb.CreateVectorNameRequest(
        **{"collection_name": collection, "vector_name": "new", "wait": True, **fields}
    )
    return points.CreateVectorName(request).result


DENSE = pb.DenseVectorCreationConfig(size=3, distance=pb.Distance.Cosine)


def test_dense_vector_is_added_and_removed(points: pb.PointsStub, client: QdrantClient, plain: str) -> None:
    client.upsert(plain, [models.PointStruct(id=1, vector=[1.0, 2.0])], wait=True)
    assert _create_vector(points, plain, dense_config=DENSE).status == pb.UpdateStatus.Completed
    client.update_vectors(plain, [models.PointVectors(id=1, vector={"new": [0.0, 3.0, 4.0]})])
    [point] = client.query_points(plain, query=[0.0, 3.0, 4.0], using="new", with_vectors=True).points
    assert point.score == pytest.approx(1.0)
    assert set(point.vector) == {"", "new"}
    points.DeleteVectorName(pb.DeleteVectorNameRequest(collection_name=plain, vector_name="new", wait=True))
    assert client.retrieve(plain, [1], with_vectors=True)[0].vector == [1.0, 2.0]
    nearest = pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=[0.0, 3.0, 4.0])))
    request = pb.QueryPoints(collection_name=plain, query=nearest, using="new")
    assert refusal(lambda: points.Query(request)) == (
        INVALID,
        "Wrong input: Not existing vector name error: new",
    )


def test_sparse_vector_is_added(points: pb.PointsStub, client: QdrantClient, plain: str) -> None:
    _create_vector(points, plain, sparse_config=pb.SparseVectorCreationConfig(modifier=pb.Modifier.Idf))
    sparse = models.SparseVector(indices=[1, 5], values=[1.0, 2.0])
    client.upsert(plain, [models.PointStruct(id=1, vector={"new": sparse})], wait=True)
    assert [point.id for point in client.query_points(plain, query=sparse, using="new").points] == [1]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"vector_name": "", "dense_config": DENSE}, "vector_name"),
        ({}, "vector_config is missing"),
        ({"dense_config": pb.DenseVectorCreationConfig(size=0, distance=pb.Distance.Dot)}, "must be from 1 to 65536"),
        ({"dense_config": pb.DenseVectorCreationConfig(size=3)}, "distance"),
    ],
)
def test_vector_refusals(points: pb.PointsStub, plain: str, fields: dict[str, Any], text: str) -> None:
    status, details = refusal(lambda: _create_vector(points, plain, **fields))
    assert (status, text in details) == (INVALID, True), details
