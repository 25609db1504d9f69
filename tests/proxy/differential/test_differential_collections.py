"""Collections are made, changed, described and removed alike; what is ours in them is never shown."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from qdrant_client import models
from qdrant_client.http.models import models as rest

from . import library
from .sides import Call, Pair, Side, cases

NAME = "made"
COSINE, EUCLID = models.Distance.COSINE, models.Distance.EUCLID
MAX_SIM = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)


@pytest.fixture(params=["writers", pytest.param("rest_writers", marks=pytest.mark.slow)])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Neither side has collections or aliases; the proxy is reached over gRPC, or over REST."""
    writers: Pair = request.getfixturevalue(request.param)
    yield writers
    for on in (writers.direct, writers.proxied):
        for collection in on.client.get_collections().collections:
            if collection.name.startswith(on.prefix + NAME):
                on.client.delete_collection(collection.name)


def info(name: str = NAME) -> Call:
    """The collection's description, but for whether the engine is building something just now."""

    def run(on: Side) -> object:
        found = on.client.get_collection(on.name(name))
        assert found.status in (models.CollectionStatus.GREEN, models.CollectionStatus.YELLOW)
        return {field: getattr(found, field) for field in type(found).model_fields if field != "status"}

    return run


def create(name: str = NAME, **config: Any) -> Call:
    return lambda on: on.client.create_collection(on.name(name), **config)


def dense(size: int = 4, distance: models.Distance = COSINE, **more: Any) -> models.VectorParams:
    return models.VectorParams(size=size, distance=distance, **more)


CONFIGS: dict[str, dict[str, Any]] = {
    "unnamed": {"vectors_config": dense()},
    "named": library.named_config("cosine"),
    "on-disk": {"vectors_config": dense(on_disk=True), "on_disk_payload": True},
    "hnsw": {
        "vectors_config": {"a": dense(hnsw_config=models.HnswConfigDiff(m=8, ef_construct=50))},
        "hnsw_config": models.HnswConfigDiff(m=32, full_scan_threshold=5_000),
    },
    "optimizers": {
        "vectors_config": dense(),
        "optimizers_config": models.OptimizersConfigDiff(indexing_threshold=12_345, deleted_threshold=0.4),
    },
    "quantization": {
        "vectors_config": dense(),
        "quantization_config": models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
        ),
    },
    "binary": {
        "vectors_config": {
            "a": dense(
                quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
            )
        }
    },
    "float16": {"vectors_config": dense(datatype=models.Datatype.FLOAT16)},
    "multivector": {"vectors_config": dense(multivector_config=MAX_SIM)},
    "sparse-only": {
        "vectors_config": {},
        "sparse_vectors_config": {
            "s": models.SparseVectorParams(modifier=models.Modifier.IDF, index=models.SparseIndexParams(on_disk=True))
        },
    },
    "metadata": {
        "vectors_config": dense(),
        "metadata": {"owner": "ärzte", "n": 5, "nested": {"a": [1, None, "x"], "b": 2.5}, "ok": True},
    },
}


@cases({name: create(**config) for name, config in CONFIGS.items()})
def test_a_collection_is_described_as_it_was_made(pair: Pair, call: Call) -> None:
    assert pair.same(call) == {"answer": True}
    described = pair.same(info())["answer"]
    assert "_vg" not in str(described)
    assert "_p" not in described.get("payload_schema", {})


@cases(
    {
        "size-0": create(vectors_config=dense(size=0)),
        "size-too-large": create(vectors_config=dense(size=70_000)),
        "empty-name": create("", vectors_config=dense()),
        "no-vectors-at-all": create(vectors_config={}),
        "same-name-dense-and-sparse": create(
            vectors_config={"a": dense()}, sparse_vectors_config={"a": models.SparseVectorParams()}
        ),
    }
)
def test_wrong_collections(pair: Pair, call: Call) -> None:
    pair.same(call)
    pair.same(info())


def test_a_collection_is_made_once(pair: Pair) -> None:
    pair.same(create(vectors_config=dense()))
    status, text = pair.refused(create(vectors_config=dense()))
    assert status in ("ALREADY_EXISTS", 409)
    assert text == "Wrong input: Collection `made` already exists!"


def test_existence_and_removal(pair: Pair) -> None:
    exists: Call = lambda on: on.client.collection_exists(on.name(NAME))  # noqa: E731
    delete: Call = lambda on: on.client.delete_collection(on.name(NAME))  # noqa: E731
    assert pair.same(exists) == {"answer": False}
    assert pair.same(delete) == {"answer": False}
    pair.same(create(vectors_config=dense()))
    assert pair.same(exists) == {"answer": True}
    assert pair.same(delete) == {"answer": True}
    assert pair.same(exists) == {"answer": False}
    pair.refused(info())


def test_a_collection_made_again_starts_empty_and_takes_other_vectors(pair: Pair) -> None:
    for size, distance in ((4, COSINE), (6, EUCLID)):
        pair.same(create(vectors_config=dense(size, distance)))
        point = models.PointStruct(id=1, vector=[1.0] * size, payload={"secret": str(size)})
        pair.same(lambda on, point=point: on.client.upsert(on.name(NAME), [point], wait=True))
        pair.same(lambda on: on.client.scroll(on.name(NAME), with_vectors=True))
        pair.same(lambda on: on.client.delete_collection(on.name(NAME)))


def test_listing(pair: Pair) -> None:
    for suffix in ("a", "b"):
        pair.same(create(NAME + suffix, vectors_config=dense()))

    def listed(on: Side) -> object:
        names = [collection.name for collection in on.client.get_collections().collections]
        return sorted(name.removeprefix(on.prefix) for name in names if name.startswith(on.prefix + NAME))

    assert pair.same(listed) == {"answer": ["madea", "madeb"]}


@cases(
    {
        "optimizers": lambda on: on.client.update_collection(
            on.name(NAME), optimizers_config=models.OptimizersConfigDiff(indexing_threshold=777)
        ),
        "hnsw": lambda on: on.client.update_collection(on.name(NAME), hnsw_config=models.HnswConfigDiff(m=24)),
        "vectors": lambda on: on.client.update_collection(
            on.name(NAME),
            vectors_config={"": models.VectorParamsDiff(hnsw_config=models.HnswConfigDiff(m=12), on_disk=True)},
        ),
        "params": lambda on: on.client.update_collection(
            on.name(NAME), collection_params=models.CollectionParamsDiff(on_disk_payload=False)
        ),
        "quantization": lambda on: on.client.update_collection(
            on.name(NAME),
            quantization_config=models.ScalarQuantization(
                scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
            ),
        ),
        "metadata": lambda on: on.client.update_collection(
            on.name(NAME), metadata={"owner": "other", "n": None, "more": {"deep": ["ü"]}}
        ),
        "unknown-vector": lambda on: on.client.update_collection(
            on.name(NAME), vectors_config={"nowhere": models.VectorParamsDiff(on_disk=True)}
        ),
        "nothing": lambda on: on.client.update_collection(on.name(NAME)),
    }
)
def test_changes(pair: Pair, call: Call) -> None:
    pair.same(create(vectors_config=dense(), metadata={"owner": "me", "n": 1}))
    pair.same(call)
    pair.same(info())
    pair.same(lambda on: on.client.upsert(on.name(NAME), [models.PointStruct(id=1, vector=[1.0] * 4)], wait=True))
    pair.same(lambda on: on.client.query_points(on.name(NAME), [1.0, 2.0, 3.0, 4.0]))


INDEXES: dict[str, tuple[str, Any]] = {
    "keyword": ("city", models.PayloadSchemaType.KEYWORD),
    "integer": ("age", models.PayloadSchemaType.INTEGER),
    "float": ("weight", models.PayloadSchemaType.FLOAT),
    "bool": ("active", models.PayloadSchemaType.BOOL),
    "geo": ("place", models.PayloadSchemaType.GEO),
    "datetime": ("when", models.PayloadSchemaType.DATETIME),
    "text": ("text", models.PayloadSchemaType.TEXT),
    "uuid": ("maybe", models.PayloadSchemaType.UUID),
    "text-params": (
        "text",
        models.TextIndexParams(type=models.TextIndexType.TEXT, tokenizer=models.TokenizerType.PREFIX, min_token_len=2),
    ),
    "integer-params": (
        "age",
        models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=False),
    ),
    "keyword-tenant": ("city", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)),
    "searchable-keyword": ("s_city", models.PayloadSchemaType.KEYWORD),
    "searchable-integer": ("s_age", models.PayloadSchemaType.INTEGER),
    "searchable-bool": ("s_active", models.PayloadSchemaType.BOOL),
    # At rest all texts of a searchable field are indexed, so the number of points that have one must be that of UUIDs.
    "searchable-uuid": ("s_uuid", models.PayloadSchemaType.UUID),
    "of-objects": (
        "items[].name",
        models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, nested="items"),
    ),
    "searchable-of-objects": (
        "s_items[].name",
        models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, nested="s_items"),
    ),
    "searchable-nested": ("s_items[].name", models.PayloadSchemaType.KEYWORD),
    "searchable-tenant": ("s_city", models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True)),
    "searchable-integer-params": (
        "s_age",
        models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=False),
    ),
}


@pytest.mark.parametrize(("field", "schema"), list(INDEXES.values()), ids=list(INDEXES))
def test_payload_indexes(pair: Pair, field: str, schema: Any) -> None:
    pair.same(create(vectors_config=dense()))
    points = [
        models.PointStruct(
            id=number,
            vector=[1.0, 2.0, 3.0, float(number)],
            payload={**library.payload(number), "s_uuid": str(uuid.UUID(int=number))},
        )
        for number in range(1, 15)
    ]
    pair.same(lambda on: on.client.upsert(on.name(NAME), points, wait=True))
    assert "answer" in pair.same(lambda on: on.client.create_payload_index(on.name(NAME), field, schema, wait=True))
    assert field in pair.same(info())["answer"]["payload_schema"]
    pair.same(lambda on: on.client.create_payload_index(on.name(NAME), field, schema, wait=True))
    pair.same(lambda on: on.client.delete_payload_index(on.name(NAME), field, wait=True))
    assert field not in pair.same(info())["answer"]["payload_schema"]
    pair.same(lambda on: on.client.delete_payload_index(on.name(NAME), field, wait=True))


def test_several_indexes_are_described_together(pair: Pair) -> None:
    pair.same(create(vectors_config=dense()))
    for field, schema in INDEXES.values():
        pair.same(lambda on, f=field, s=schema: on.client.create_payload_index(on.name(NAME), f, s, wait=True))
    assert len(pair.same(info())["answer"]["payload_schema"]) == len({field for field, _ in INDEXES.values()})


def test_a_malformed_index_path(pair: Pair) -> None:
    pair.same(create(vectors_config=dense()))
    pair.refused(lambda on: on.client.create_payload_index(on.name(NAME), "a[", "keyword"))
    pair.refused(lambda on: on.client.delete_payload_index(on.name(NAME), "a["))


def alias(on: Side, operation: str, **names: str) -> object:
    named = {key: on.name(value) for key, value in names.items()}
    operations: dict[str, Any] = {
        "create": lambda: models.CreateAliasOperation(create_alias=models.CreateAlias(**named)),
        "delete": lambda: models.DeleteAliasOperation(delete_alias=models.DeleteAlias(**named)),
        "rename": lambda: models.RenameAliasOperation(rename_alias=models.RenameAlias(**named)),
    }
    return on.client.update_collection_aliases([operations[operation]()])


def test_aliases(pair: Pair) -> None:
    def listed(on: Side) -> object:
        found = on.client.get_aliases().aliases
        return sorted(
            (a.alias_name.removeprefix(on.prefix), a.collection_name.removeprefix(on.prefix))
            for a in found
            if a.alias_name.startswith(on.prefix + NAME)
        )

    def steps(name: str) -> None:
        """A collection is as good under its alias as under its own name."""
        point = models.PointStruct(id=1, vector=[1.0, 0.0, 0.0, 0.0], payload={"secret": name, "s_city": "x"})
        pair.same(lambda on: on.client.upsert(on.name(name), [point], wait=True))
        pair.same(lambda on: on.client.query_points(on.name(name), [1.0, 0.5, 0.0, 0.0], with_vectors=True))
        pair.same(lambda on: on.client.set_payload(on.name(name), {"secret": "changed"}, points=[1], wait=True))
        pair.same(lambda on: on.client.scroll(on.name(name)))
        pair.same(lambda on: on.client.query_points(on.name(name), 1))
        pair.same(info(name))

    pair.same(create(NAME, vectors_config=dense()))
    pair.same(create(NAME + "2", vectors_config=dense()))
    pair.same(lambda on: alias(on, "create", collection_name=NAME, alias_name=NAME + "-alias"))
    steps(NAME + "-alias")
    assert pair.same(listed) == {"answer": [[NAME + "-alias", NAME]]}
    pair.same(
        lambda on: sorted(
            a.alias_name.removeprefix(on.prefix) for a in on.client.get_collection_aliases(on.name(NAME)).aliases
        )
    )
    pair.same(lambda on: alias(on, "rename", old_alias_name=NAME + "-alias", new_alias_name=NAME + "-renamed"))
    pair.refused(info(NAME + "-alias"))
    steps(NAME + "-renamed")
    pair.same(lambda on: alias(on, "delete", alias_name=NAME + "-renamed"))
    pair.same(lambda on: alias(on, "create", collection_name=NAME + "2", alias_name=NAME + "-renamed"))
    steps(NAME + "-renamed")
    steps(NAME)
    pair.same(lambda on: on.client.delete_collection(on.name(NAME + "2")))
    pair.refused(info(NAME + "-renamed"))
    assert pair.same(listed) == {"answer": []}


@cases(
    {
        "delete-unknown": lambda on: alias(on, "delete", alias_name="nowhere"),
        "rename-unknown": lambda on: alias(on, "rename", old_alias_name="nowhere", new_alias_name="other"),
        "named-as-a-collection": lambda on: alias(on, "create", collection_name=NAME, alias_name=NAME),
        "of-an-alias": lambda on: alias(on, "create", collection_name="nowhere", alias_name="other"),
    }
)
def test_wrong_aliases(pair: Pair, call: Call) -> None:
    pair.same(create(vectors_config=dense()))
    pair.same(call)


@pytest.mark.slow
def test_vector_names_come_and_go(pair: Pair) -> None:
    pair.same(create(vectors_config={"a": dense()}))
    pair.same(
        lambda on: on.client.upsert(on.name(NAME), [models.PointStruct(id=1, vector={"a": [1.0] * 4})], wait=True)
    )
    configs: dict[str, Any] = {
        "b": models.DenseVectorNameConfig(dense=rest.DenseVectorConfig(size=3, distance=EUCLID)),
        "m": models.DenseVectorNameConfig(
            dense=rest.DenseVectorConfig(size=2, distance=COSINE, multivector_config=MAX_SIM)
        ),
        "s": models.SparseVectorNameConfig(sparse=rest.SparseVectorConfig()),
    }
    values: dict[str, Any] = {
        "b": [1.0, 2.0, 3.0],
        "m": [[1.0, 0.0], [0.6, 0.8]],
        "s": models.SparseVector(indices=[5, 9], values=[1.0, 2.0]),
    }
    for name, config in configs.items():
        pair.refused(lambda on, n=name: on.client.query_points(on.name(NAME), values[n], using=n))
        made: Call = lambda on, n=name, c=config: on.client.create_vector_name(on.name(NAME), n, c)  # noqa: E731
        assert "answer" in pair.same(made)
        pair.same(made)
        pair.same(info())
        entry = models.PointVectors(id=1, vector={name: values[name]})
        pair.same(lambda on, e=entry: on.client.update_vectors(on.name(NAME), [e], wait=True))
        pair.same(lambda on, n=name: on.client.query_points(on.name(NAME), values[n], using=n, with_vectors=True))
    pair.same(lambda on: on.client.scroll(on.name(NAME), with_vectors=True))
    for name in configs:
        gone: Call = lambda on, n=name: on.client.delete_vector_name(on.name(NAME), n)  # noqa: E731
        assert "answer" in pair.same(gone)
        pair.same(gone)
        pair.same(info())
        pair.refused(lambda on, n=name: on.client.query_points(on.name(NAME), values[n], using=n))
        pair.same(lambda on: on.client.scroll(on.name(NAME), with_vectors=True))
    pair.same(lambda on: on.client.create_vector_name(on.name(NAME), "b", configs["m"]))
    pair.same(
        lambda on: on.client.update_vectors(on.name(NAME), [models.PointVectors(id=1, vector={"b": values["m"]})])
    )
    pair.same(lambda on: on.client.scroll(on.name(NAME), with_vectors=True))
