"""What applications do with pymilvus, of whichever line: `python client_scenario.py URI NAME [real]`.

Run by the tests in each environment, straight to a server and through the proxy. Prints one line of JSON: the steps
with what they came to. Uses nothing but pymilvus and the standard library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
import pymilvus
from pymilvus import (
    AnnSearchRequest,
    AsyncMilvusClient,
    Collection,
    CollectionSchema,
    DataType,
    FieldSchema,
    MilvusClient,
    MilvusException,
    RRFRanker,
    WeightedRanker,
    connections,
    utility,
)

DIMS = 8
# What differs from one collection to another of the same schema.
VOLATILE = {
    *("collection_id", "created_timestamp", "update_timestamp", "timestamp", "cost", "collection_name", "index_id"),
    *("field_id", "properties", "db_name", "schema_version", "commit_timestamp"),
}

FIELDS = ["id", "color", "year", "text"]
STRONG = {"consistency_level": "Strong"}

Steps = list[tuple[str, Any]]


def vector(number: int) -> list[float]:
    """A vector of the row's own."""
    dice = random.Random(number)
    return [dice.gauss(0, 1) for _ in range(DIMS)]


def rows(numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Rows with a searchable word, a plain number and a text that is sealed."""
    return [
        {"id": n, "vector": vector(n), "color": ["red", "green", "blue"][n % 3], "year": 2000 + n, "text": f"text {n}"}
        for n in numbers
    ]


def tidy(value: Any) -> Any:
    """JSON of an answer, without what is not the same twice."""
    if isinstance(value, Mapping):
        return {str(key): tidy(item) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, str) or value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, DataType):
        return value.name
    if isinstance(value, Sequence):
        return [tidy(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)


def note(steps: Steps, name: str, step: Callable[[], Any]) -> Any:
    """Do a step and write down its answer, or its error's code."""
    try:
        value = step()
    except MilvusException as error:
        steps.append((name, {"error": getattr(error.code, "name", error.code)}))
        return None
    except grpc.RpcError as error:
        steps.append((name, {"error": error.code().name}))
        return None
    steps.append((name, tidy(value)))
    return value


def hits(found: Any) -> list[Any]:
    """Distances, ids and fields of a search's hits, in the one form that all clients can be asked for."""
    return [[(hit["id"], hit["distance"], dict(hit["entity"])) for hit in one] for one in found]


def drained(iterator: Any) -> list[Any]:
    """All that an iterator gives."""
    got: list[Any] = []
    while batch := iterator.next():
        got.extend(batch)
    iterator.close()
    return got


def asked(client: MilvusClient, name: str, expression: str, **kwargs: Any) -> list[Any]:
    """A query's rows by key."""
    found = client.query(name, filter=expression, output_fields=FIELDS, **kwargs, **STRONG)
    return sorted(found, key=lambda row: row["id"])


def searched(client: MilvusClient, name: str, **kwargs: Any) -> list[Any]:
    """The hits of two searches in one call."""
    return hits(client.search(name, [vector(900), vector(901)], limit=4, output_fields=FIELDS, **kwargs, **STRONG))


def all_queried(client: MilvusClient, name: str) -> list[int]:
    """All keys, by an iterator."""
    iterator = client.query_iterator(name, batch_size=7, output_fields=["id"], **STRONG)
    return sorted(row["id"] for row in drained(iterator))


def all_searched(client: MilvusClient, name: str) -> list[int]:
    """The nearest thirty keys, by an iterator."""
    return [hit["id"] for hit in drained(client.search_iterator(name, data=[vector(900)], batch_size=9, limit=30))]


def by_milvus_client(uri: str, name: str) -> Steps:
    """The client that is recommended, on a collection made in one call."""
    steps: Steps = []
    client = MilvusClient(uri=uri, timeout=60)
    note(steps, "absent", lambda: client.has_collection(name))
    note(steps, "create", lambda: client.create_collection(name, dimension=DIMS, metric_type="L2"))
    note(steps, "present", lambda: client.has_collection(name))
    note(steps, "describe", lambda: client.describe_collection(name))
    note(steps, "insert", lambda: client.insert(name, rows(range(60))))
    note(steps, "upsert", lambda: client.upsert(name, rows([3, 70])))
    note(steps, "get", lambda: client.get(name, ids=[5], output_fields=FIELDS, **STRONG))
    note(steps, "count", lambda: client.query(name, filter="", output_fields=["count(*)"], **STRONG))
    for expression in ("id in [1, 2]", "color == 'red' and year < 2020", "color in ['red', 'blue'] and id > 50"):
        note(steps, f"query {expression}", partial(asked, client, name, expression))
    note(steps, "vectors", lambda: client.query(name, filter="id == 7", output_fields=["vector"], **STRONG))
    for kwargs in ({}, {"filter": "color == 'green'"}, {"offset": 3}, {"search_params": {"params": {"radius": 20.0}}}):
        note(steps, f"search {kwargs}", partial(searched, client, name, **kwargs))
    note(steps, "query iterator", partial(all_queried, client, name))
    note(steps, "search iterator", partial(all_searched, client, name))
    note(steps, "delete ids", lambda: client.delete(name, ids=[1, 2]) is not None)
    note(steps, "delete filter", lambda: client.delete(name, filter="color == 'blue'") is not None)
    note(steps, "left", lambda: client.query(name, filter="", output_fields=["count(*)"], **STRONG))
    note(steps, "indexes", lambda: client.list_indexes(name))
    note(steps, "index", lambda: client.describe_index(name, "vector")["metric_type"])
    note(steps, "make partition", lambda: client.create_partition(name, "some"))
    note(steps, "partitions", lambda: sorted(client.list_partitions(name)))
    note(steps, "partition", lambda: client.insert(name, rows([200]), partition_name="some"))
    note(
        steps,
        "in partition",
        lambda: client.query(name, filter="id > 0", output_fields=["id"], partition_names=["some"], **STRONG),
    )
    note(steps, "alias", lambda: client.create_alias(name, f"{name}_alias"))
    note(steps, "by alias", lambda: client.query(f"{name}_alias", filter="id == 9", output_fields=["text"], **STRONG))
    note(steps, "drop alias", lambda: client.drop_alias(f"{name}_alias"))
    note(steps, "bad filter", lambda: client.query(name, filter="id =="))
    note(steps, "missing", lambda: client.query(f"{name}_missing", filter="id > 0"))
    note(steps, "drop", lambda: client.drop_collection(name))
    note(steps, "gone", lambda: client.has_collection(name))
    client.close()
    return steps


def by_orm(uri: str, name: str) -> Steps:
    """The older, object-like interface."""
    steps: Steps = []
    note(steps, "connect", lambda: connections.connect("default", uri=uri))
    schema = CollectionSchema(
        [
            FieldSchema("id", DataType.INT64, is_primary=True),
            FieldSchema("vector", DataType.FLOAT_VECTOR, dim=DIMS),
            FieldSchema("color", DataType.VARCHAR, max_length=16),
            FieldSchema("year", DataType.INT64),
        ],
        description="by the ORM",
    )
    collection = note_object(steps, "create", lambda: Collection(name, schema))
    note(steps, "has", lambda: utility.has_collection(name))
    note(steps, "schema", collection.schema.to_dict)
    given = rows(range(40))
    columns = [[row[key] for row in given] for key in ("id", "vector", "color", "year")]
    note(steps, "insert", lambda: collection.insert(columns).insert_count)
    note(steps, "flush", collection.flush)
    index = {"index_type": "FLAT", "metric_type": "COSINE", "params": {}}
    note(steps, "index", lambda: collection.create_index("vector", index).code)
    note(steps, "load", collection.load)
    note(steps, "entities", lambda: collection.num_entities)
    note(steps, "search", partial(searched_by_orm, collection))
    note(steps, "search filter", partial(searched_by_orm, collection, expr="color == 'red' and year > 2003"))
    blue = partial(collection.query, "color == 'blue'", output_fields=["year"], **STRONG)
    note(steps, "query", lambda: sorted(blue(), key=lambda row: row["id"]))
    iterate = partial(collection.query_iterator, batch_size=6, output_fields=["year"], **STRONG)
    note(steps, "query iterator", lambda: sorted(row["id"] for row in drained(iterate())))
    note(steps, "delete", lambda: collection.delete("id in [4, 5]") is not None)
    note(steps, "left", lambda: collection.query("", output_fields=["count(*)"], **STRONG))
    note(steps, "release", collection.release)
    note(steps, "released", lambda: collection.query("id > 0"))
    note(steps, "drop", collection.drop)
    connections.disconnect("default")
    return steps


def searched_by_orm(collection: Collection, **kwargs: Any) -> list[Any]:
    """The hits of a search."""
    wanted = {"metric_type": "COSINE", "params": {}}
    given = {"limit": 5, "output_fields": ["color", "year"]}
    found = collection.search([vector(900)], "vector", wanted, **given, **kwargs, **STRONG)
    return [[(hit.id, hit.distance, hit.entity.get("color"), hit.entity.get("year")) for hit in one] for one in found]


def note_object(steps: Steps, name: str, step: Callable[[], Any]) -> Any:
    """As `note`, for a step that gives an object of the client's own."""
    made: list[Any] = []
    note(steps, name, lambda: made.append(step()))
    return made[0] if made else None


def by_async_client(uri: str, name: str) -> Steps:
    """The asynchronous client."""
    steps: Steps = []

    async def run() -> None:
        client = AsyncMilvusClient(uri=uri, timeout=60)
        schema = AsyncMilvusClient.create_schema(enable_dynamic_field=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMS)
        await client.create_collection(name, schema=schema)
        steps.append(("insert", tidy(await client.insert(name, rows(range(20))))))
        indexes = AsyncMilvusClient.prepare_index_params()
        indexes.add_index("vector", index_type="FLAT", metric_type="IP")
        try:
            await client.create_index(name, indexes)
        except grpc.RpcError as error:  # Milvus Lite's own server does not know AllocTimestamp
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
        await client.load_collection(name)
        found = await client.search(name, [vector(900)], limit=3, output_fields=["color", "text"], **STRONG)
        steps.append(("search", tidy(hits(found))))
        queries = [client.query(name, filter=f"id == {n}", output_fields=["text"], **STRONG) for n in range(5)]
        steps.append(("queries", tidy([list(one) for one in await asyncio.gather(*queries)])))
        await client.drop_collection(name)
        await client.close()

    asyncio.run(run())
    return steps


def by_hybrid_search(uri: str, name: str) -> Steps:
    """Two vectors, fused; of newer servers."""
    steps: Steps = []
    client = MilvusClient(uri=uri, timeout=60)
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMS)
    schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_field("color", DataType.VARCHAR, max_length=16, nullable=True)
    indexes = client.prepare_index_params()
    indexes.add_index("vector", index_type="FLAT", metric_type="COSINE")
    indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    note(steps, "create", lambda: client.create_collection(name, schema=schema, index_params=indexes))
    given = [
        {"id": n, "vector": vector(n), "words": {n % 7: 1.0, 100 + n % 5: 0.5}, "color": "red" if n % 2 else None}
        for n in range(40)
    ]
    note(steps, "insert", lambda: client.insert(name, given))
    wanted = [
        AnnSearchRequest([vector(900)], "vector", {"metric_type": "COSINE"}, limit=10),
        AnnSearchRequest([{3: 1.0, 102: 1.0}], "words", {"metric_type": "IP"}, limit=10),
    ]
    for ranker in (RRFRanker(), RRFRanker(10), WeightedRanker(0.7, 0.3)):
        fuse = partial(client.hybrid_search, name, wanted, ranker, limit=6, output_fields=["color"])
        note(steps, f"hybrid {ranker.dict()}", lambda fuse=fuse: sorted(hits(fuse())[0], key=str))
    note(steps, "drop", lambda: client.drop_collection(name))
    client.close()
    return steps


def main(uri: str, name: str, real: bool) -> None:
    """All of it."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    report: dict[str, Any] = {
        "version": pymilvus.__version__,
        "client": by_milvus_client(uri, f"{name}_client"),
        "orm": by_orm(uri, f"{name}_orm"),
        "async": by_async_client(uri, f"{name}_async"),
    }
    if not real:
        report["hybrid"] = by_hybrid_search(uri, f"{name}_hybrid")
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], "real" in sys.argv[3:])
