"""Collections through the proxy and straight: made, described, listed, renamed, aliased, partitioned, loaded alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from milvus.pairs import Pair, Side, plain
from milvus.servers import truncate

pytestmark = pytest.mark.slow

# What belongs to one collection alone, or is the database's clock.
OWN = {"collection_id", "created_timestamp", "update_timestamp", "created_utc_timestamp", "collection_name"}


def described(side: Side, name: str | None = None) -> dict[str, Any]:
    """A description without what two equal collections differ by."""
    answer = plain(side.client.describe_collection(name or side.name))
    return {key: value for key, value in answer.items() if key not in OWN}


def wide_schema(*, lite: bool) -> Any:
    """A schema with every scalar type, in each mode of the policy; what is newer for Lite alone."""
    schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("pk", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=8)
    for mode in ("plain", "found", "closed"):
        schema.add_field(mode, DataType.VARCHAR, max_length=100)
        for kind in ("BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE"):
            schema.add_field(f"{mode}_{kind.lower()}", DataType[kind])
    schema.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=5, max_length=20)
    schema.add_field("numbers", DataType.ARRAY, element_type=DataType.INT64, max_capacity=3)
    schema.add_field("meta", DataType.JSON)
    if lite:
        schema.add_field("maybe", DataType.INT64, nullable=True)
        schema.add_field("filled", DataType.VARCHAR, max_length=10, default_value="x")
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    return schema


def test_a_quick_collection(pair: Pair) -> None:
    pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    pair.same(described)
    pair.same(lambda side: side.client.has_collection(side.name))
    pair.same(lambda side: side.name in side.client.list_collections())
    pair.same(lambda side: side.client.list_indexes(side.name))
    pair.same(lambda side: side.client.describe_index(side.name, "vector"))
    pair.same(lambda side: side.client.get_load_state(side.name))
    pair.same(lambda side: side.client.get_collection_stats(side.name))
    pair.same(lambda side: side.client.drop_collection(side.name))
    pair.same(lambda side: side.client.has_collection(side.name))
    pair.same(described)


def test_a_wide_schema(pair: Pair) -> None:
    schema = wide_schema(lite=not pair.is_real)
    pair.same(lambda side: side.client.create_collection(side.name, schema=schema))
    shown = pair.same(lambda side: without_what_lite_forgets(described(side)) if not pair.is_real else described(side))
    assert [field["name"] for field in shown["fields"]] == [field.name for field in schema.fields]


def without_what_lite_forgets(shown: dict[str, Any]) -> dict[str, Any]:
    """Milvus Lite does not keep the length of an array's texts; through the proxy it is there all the same."""
    for field in shown["fields"]:
        if field["type"] == DataType.ARRAY:
            field["params"].pop("max_length", None)
    return shown


def test_descriptions_come_back_from_the_real_server(pair: Pair) -> None:
    """Milvus Lite keeps no descriptions; through the proxy they are there all the same."""
    schema = MilvusClient.create_schema(description="about people")
    schema.add_field("id", DataType.INT64, is_primary=True, description="who")
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4, description="what they wrote")
    for side in (pair.straight, pair.guarded):
        side.client.create_collection(side.name, schema=schema)
    if pair.is_real:
        pair.same(described)
    shown = pair.guarded.client.describe_collection(pair.guarded.name)
    assert shown["description"] == "about people"
    assert [field["description"] for field in shown["fields"]] == ["who", "what they wrote"]


def test_making_a_collection_again(pair: Pair) -> None:
    def make(side: Side, dim: int = 4) -> Any:
        schema = MilvusClient.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("v", DataType.FLOAT_VECTOR, dim=dim)
        return side.client.create_collection(side.name, schema=schema)

    pair.same(make)
    pair.same(make)
    pair.same(lambda side: make(side, 5))
    pair.same(described)


def test_properties_of_clients(pair: Pair) -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    pair.same(
        lambda side: side.client.create_collection(
            side.name, schema=schema, properties={"collection.ttl.seconds": "1800", "own": "thing"}
        )
    )
    pair.same(described)
    pair.same(lambda side: side.client.alter_collection_properties(side.name, {"own": "other", "more": "1"}))
    pair.same(described)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (DataType.VARCHAR, {"max_length": 0}),
        (DataType.VARCHAR, {"max_length": 70_000}),
        (DataType.BINARY_VECTOR, {"dim": 8}),
        (DataType.FLOAT_VECTOR, {"dim": 0}),
    ],
)
def test_wrong_fields(pair: Pair, kind: DataType, options: dict[str, Any]) -> None:
    """Whatever the server thinks of them, the proxy makes nothing that it could not protect."""
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    schema.add_field("odd", kind, **options)
    with pytest.raises(Exception, match=r"odd|dim|max_length"):
        pair.guarded.client.create_collection(pair.guarded.name, schema=schema)
    assert not pair.guarded.client.has_collection(pair.guarded.name)


def test_no_primary_key_and_a_doubled_field(pair: Pair) -> None:
    """What the client checks itself, sent past it."""
    key = schema_pb2.FieldSchema(name="id", data_type=5, is_primary_key=True)
    vector = schema_pb2.FieldSchema(name="v", data_type=101)
    vector.type_params.add(key="dim", value="4")
    for fields in ([vector], [key, vector, vector], [key, key, vector]):
        for side in (pair.straight, pair.guarded):
            schema = schema_pb2.CollectionSchema(name=side.name, fields=fields)
            request = milvus_pb2.CreateCollectionRequest(
                collection_name=side.name, schema=schema.SerializeToString(), shards_num=1
            )
            with side.server.stub() as stub:
                status = stub.CreateCollection(request)
            assert status.code or status.error_code, fields


def test_renamed(pair: Pair) -> None:
    def rows(side: Side, name: str) -> Any:
        side.client.load_collection(name)
        return side.client.query(name, filter="id >= 0", output_fields=["*"], consistency_level="Strong")

    pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    row = {"id": 1, "vector": [1.0, 2.0, 3.0, 4.0], "color": "red", "n": 5}
    pair.same(lambda side: side.client.insert(side.name, [row]))
    pair.same(lambda side: side.client.rename_collection(side.name, f"{side.name}_new"))
    pair.same(lambda side: side.client.has_collection(side.name))
    pair.same(lambda side: described(side, f"{side.name}_new"))
    pair.same(lambda side: rows(side, f"{side.name}_new"), rows=True)
    pair.same(lambda side: side.client.rename_collection(f"{side.name}_new", side.name))
    pair.same(lambda side: rows(side, side.name), rows=True)
    pair.same(lambda side: side.client.rename_collection(f"{side.name}_missing", f"{side.name}_x"))


def test_aliases(pair: Pair) -> None:
    pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    pair.same(lambda side: side.client.create_collection(f"{side.name}_two", dimension=4))
    for number, suffix in enumerate(("", "_two")):
        row = {"id": number, "vector": [1.0, 2.0, 3.0, float(number)], "color": "red"}
        pair.same(lambda side, suffix=suffix, row=row: side.client.insert(side.name + suffix, [row]))
    pair.same(lambda side: side.client.create_alias(side.name, f"{side.name}_alias"))
    pair.same(lambda side: side.client.create_alias(side.name, f"{side.name}_alias"))

    def rows(side: Side) -> Any:
        return side.client.query(
            f"{side.name}_alias", filter="id >= 0", output_fields=["*"], consistency_level="Strong"
        )

    pair.same(rows, rows=True)
    if not pair.is_real:
        pair.same(lambda side: side.client.describe_alias(f"{side.name}_alias"))
        pair.same(lambda side: side.client.list_aliases(side.name))
    pair.same(lambda side: side.client.alter_alias(f"{side.name}_two", f"{side.name}_alias"))
    pair.same(rows, rows=True)
    pair.same(lambda side: side.client.drop_alias(f"{side.name}_alias"))
    pair.same(rows)


def test_partitions(pair: Pair) -> None:
    pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    pair.same(lambda side: side.client.create_partition(side.name, "north"))
    pair.same(lambda side: side.client.list_partitions(side.name))
    pair.same(lambda side: side.client.has_partition(side.name, "north"))
    row = {"id": 1, "vector": [1.0, 0.0, 0.0, 0.0], "color": "red"}
    pair.same(lambda side: side.client.insert(side.name, [row], partition_name="north"))
    pair.same(lambda side: side.client.insert(side.name, [row], partition_name="south"))
    if not pair.is_real:
        pair.same(lambda side: side.client.load_partitions(side.name, ["north"]))
    for names in (["north"], ["_default"], ["south"]):
        pair.same(
            lambda side, names=names: side.client.query(
                side.name, filter="id >= 0", partition_names=names, output_fields=["*"], consistency_level="Strong"
            ),
            rows=True,
        )
    pair.same(lambda side: side.client.get_partition_stats(side.name, "_default"))
    pair.same(lambda side: side.client.release_collection(side.name))
    pair.same(lambda side: side.client.drop_partition(side.name, "north"))
    pair.same(lambda side: side.client.list_partitions(side.name))


def test_load_release_and_flush(pair: Pair) -> None:
    pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    rows = [{"id": i, "vector": [float(i), 1.0, 2.0, 3.0], "color": "red", "closed": "x"} for i in range(5)]
    pair.same(lambda side: side.client.insert(side.name, rows))
    pair.same(lambda side: side.client.flush(side.name))
    pair.same(lambda side: side.client.release_collection(side.name))
    pair.same(lambda side: side.client.get_load_state(side.name))
    pair.same(lambda side: side.client.query(side.name, filter="id >= 0"))
    pair.same(lambda side: side.client.load_collection(side.name))
    pair.same(lambda side: side.client.get_load_state(side.name))
    pair.same(
        lambda side: side.client.query(side.name, filter="id >= 0", output_fields=["*"], consistency_level="Strong"),
        rows=True,
    )
    pair.same(lambda side: side.client.get_collection_stats(side.name))


def test_indexes(pair: Pair) -> None:
    schema = MilvusClient.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    for name in ("plain", "found"):
        schema.add_field(name, DataType.VARCHAR, max_length=20)
    schema.add_field("year", DataType.INT64)
    schema.add_field("count_found", DataType.INT32)
    pair.same(lambda side: side.client.create_collection(side.name, schema=schema))

    def index(side: Side, field: str, **options: Any) -> Any:
        params = side.client.prepare_index_params()
        params.add_index(field, index_name=field, **options)
        return side.client.create_index(side.name, params)

    kind = "FLAT" if pair.is_real else "BRUTE_FORCE"
    pair.same(lambda side: index(side, "v", index_type=kind, metric_type="IP"))
    scalar = "STL_SORT" if pair.is_real else "INVERTED"
    text = "Trie" if pair.is_real else "INVERTED"
    pair.same(lambda side: index(side, "year", index_type=scalar))
    pair.same(lambda side: index(side, "count_found", index_type=scalar))
    for name in ("plain", "found"):
        pair.same(lambda side, name=name: index(side, name, index_type=text))
    pair.same(lambda side: sorted(side.client.list_indexes(side.name)))
    for name in ("v", "year", "count_found", "plain", "found", "missing"):
        pair.same(lambda side, name=name: side.client.describe_index(side.name, name))
    pair.same(lambda side: side.client.drop_index(side.name, "year"))
    pair.same(lambda side: sorted(side.client.list_indexes(side.name)))


def test_truncated(lite_pair: Pair) -> None:
    lite_pair.same(lambda side: side.client.create_collection(side.name, dimension=4))
    row = {"id": 1, "vector": [1.0, 0.0, 0.0, 0.0], "color": "red"}
    lite_pair.same(lambda side: side.client.insert(side.name, [row]))
    lite_pair.same(lambda side: truncate(side.client, side.name))
    lite_pair.same(described)
    lite_pair.same(lambda side: side.client.insert(side.name, [row | {"id": 2}]))
    lite_pair.same(
        lambda side: side.client.query(side.name, filter="id >= 0", output_fields=["*"], consistency_level="Strong")
    )


def test_databases(pair: Pair) -> None:
    """Databases are shared by both sides, so each side has one of its own."""

    def inside(operation: Callable[[MilvusClient, str], Any]) -> Callable[[Side], Any]:
        def run(side: Side) -> Any:
            client = MilvusClient(uri=side.server.uri, db_name=f"{side.name}_db", timeout=60, dedicated=True)
            try:
                return operation(client, side.name)
            finally:
                client.close()

        return run

    row = {"id": 1, "vector": [1.0, 0.0, 0.0, 0.0], "color": "red", "closed": 7}
    pair.same(inside(lambda client, name: client.list_collections()))
    pair.same(lambda side: side.client.create_database(f"{side.name}_db"))
    pair.same(lambda side: f"{side.name}_db" in side.client.list_databases())
    pair.same(inside(lambda client, name: client.create_collection(name, dimension=4)))
    pair.same(inside(lambda client, name: client.insert(name, [row])))
    pair.same(
        inside(
            lambda client, name: client.query(
                name, filter="color == 'red'", output_fields=["*"], consistency_level="Strong"
            )
        )
    )
    pair.same(inside(lambda client, name: client.describe_collection(name)["fields"]))
    pair.same(inside(lambda client, name: client.list_collections()))
    pair.same(lambda side: side.client.has_collection(side.name))
    pair.same(lambda side: side.client.drop_database(f"{side.name}_db"))
    pair.same(inside(lambda client, name: client.rename_collection(name, f"{name}_new")))
    pair.same(inside(lambda client, name: client.load_collection(f"{name}_new")))
    pair.same(
        inside(
            lambda client, name: client.query(
                f"{name}_new", filter="id > 0", output_fields=["closed"], consistency_level="Strong"
            )
        )
    )
    pair.same(inside(lambda client, name: client.drop_collection(f"{name}_new")))
    pair.same(lambda side: side.client.drop_database(f"{side.name}_db"))


def test_users_and_roles(pair: Pair) -> None:
    """Milvus Lite has none: it says so on both sides."""
    for side in (pair.straight, pair.guarded):
        side.client.list_users() if pair.is_real else None
    pair.same(lambda side: side.client.list_users())
    pair.same(lambda side: side.client.create_user(side.name[:20], "secret-word"))
    pair.same(lambda side: side.client.create_role(side.name))
    pair.same(lambda side: side.client.grant_role(side.name[:20], side.name))
    pair.same(lambda side: side.client.describe_user(side.name[:20]))
    pair.same(lambda side: side.client.revoke_role(side.name[:20], side.name))
    pair.same(lambda side: side.client.drop_role(side.name))
    pair.same(lambda side: side.client.drop_user(side.name[:20]))


def test_missing_collections(pair: Pair) -> None:
    for operation in (
        lambda side: side.client.describe_collection(side.name),
        lambda side: side.client.insert(side.name, [{"id": 1, "vector": [1.0]}]),
        lambda side: side.client.query(side.name, filter="id > 0"),
        lambda side: side.client.delete(side.name, ids=[1]),
        lambda side: side.client.load_collection(side.name),
        lambda side: side.client.drop_collection(side.name),
        lambda side: side.client.get_collection_stats(side.name),
        lambda side: side.client.create_partition(side.name, "p"),
        lambda side: side.client.flush(side.name),
        lambda side: side.client.create_alias(side.name, f"{side.name}_alias"),
        lambda side: side.client.alter_collection_properties(side.name, {"a": "b"}),
    ):
        pair.same(operation)
