"""A table in clear and the same at rest, each a collection on a Milvus server."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer
from pymilvus import DataType, MilvusClient

from vecguard.front.milvus.expression import rewrite

from .rows import COLUMNS, MODES, RULE, fields_of, protected
from .strategies import rows

FIELDS = fields_of()
POLICY = json.dumps(
    {
        "version": 1,
        "access": {"anonymous": ["read", "write", "admin"]},
        "collections": [
            {
                "match": "*",
                "vectors": [{"transforms": [{"kind": "rotation"}]}],
                "payload": {"default": RULE.default, "fields": dict(RULE.fields)},
            }
        ],
    }
)
"""The rules of `rows.py` as a policy file (JSON is YAML)."""


def stored_type(name: str, data_type: int) -> DataType:
    """The type of a column of that name at rest."""
    clear = data_type == DataType.JSON or name == "id" or FIELDS.mode((name,)) == "plain"
    return DataType(data_type) if clear else DataType.VARCHAR


def create(
    client: MilvusClient, name: str, some: Sequence[Mapping[str, Any]], *, at_rest: bool, nullable: bool
) -> None:
    """A collection of the fields of `COLUMNS`, with these rows, loaded."""
    schema = client.create_schema(enable_dynamic_field=True)
    for column in COLUMNS.by_name.values():
        if column.vector:
            schema.add_field(column.name, DataType.FLOAT_VECTOR, dim=2)
            continue
        options: dict[str, Any] = {"max_length": 512}
        if nullable and not column.primary_key:
            options["nullable"] = True
        kind = DataType(column.data_type)
        if kind == DataType.ARRAY:
            element = DataType(column.element_type)
            options |= {"element_type": stored_type(column.name, element) if at_rest else element, "max_capacity": 8}
        elif at_rest:
            kind = stored_type(column.name, column.data_type)
        schema.add_field(column.name, kind, is_primary=column.primary_key, **options)
    index = client.prepare_index_params()
    index.add_index("vec", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=schema, index_params=index)
    kept = [protected(row, FIELDS) if at_rest else row for row in some]
    client.insert(
        name, [{"vec": [0.0, 1.0], **{k: v for k, v in row.items() if k != "$meta"}, **row["$meta"]} for row in kept]
    )
    client.load_collection(name)
    (counted,) = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    assert counted == {"count(*)": len(some)}


def ids(client: MilvusClient, name: str, text: str) -> list[int]:
    """Ids of the rows that an expression selects."""
    found = client.query(name, filter=text, output_fields=["id"], limit=1000, consistency_level="Eventually")
    return sorted(row["id"] for row in found)


class Tables:
    """A collection in clear and the same at rest, on one server."""

    def __init__(self, client: MilvusClient) -> None:
        self.client = client

    def ids(self, name: str, text: str) -> list[int]:
        """Ids of the rows that an expression selects."""
        return ids(self.client, name, text)

    def check(self, text: str) -> list[int]:
        """What the expression selects in clear, and rewritten at rest, which is the same."""
        expected = self.ids("clear", text)
        assert self.ids("stored", rewrite(text, COLUMNS, FIELDS, inline=True).text) == expected
        return expected


class GuardedTables:
    """A collection straight on a server, and the same through the proxy before it."""

    def __init__(self, straight: MilvusClient, guarded: MilvusClient) -> None:
        self._straight, self._guarded = straight, guarded

    def check(self, text: str) -> list[int]:
        """What the expression selects straight and through the proxy, which is the same."""
        expected = ids(self._straight, "straight", text)
        assert ids(self._guarded, "guarded", text) == expected
        return expected


def drawn(kind: str, *, nullable: bool) -> list[dict[str, Any]]:
    """The rows. Lite, whose fields are nullable here, compares FLOAT values as doubles: it would not find 0.1."""
    some = rows(7, kind, nullable=nullable)
    if nullable:
        return some
    return [row | {f"f_{mode}": 0.1 for mode in MODES} if row["id"] % 7 == 0 else row for row in some]


def tables(server: MilvusServer, kind: str, *, nullable: bool) -> Iterator[Tables]:
    """The two collections on a server, protected here."""
    some = drawn(kind, nullable=nullable)
    # pymilvus logs every refusal with its stack.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with server.client() as client:
        create(client, "clear", some, at_rest=False, nullable=nullable)
        create(client, "stored", some, at_rest=True, nullable=nullable)
        yield Tables(client)


def guarded_tables(server: MilvusServer, folder: Path, kind: str, *, nullable: bool) -> Iterator[GuardedTables]:
    """The two collections on a server, one of them written through the proxy."""
    some = drawn(kind, nullable=nullable)
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    with (
        serving_milvus(folder, server, POLICY) as proxy,
        server.client() as straight,
        proxy.client() as guarded,
    ):
        create(straight, "straight", some, at_rest=False, nullable=nullable)
        create(guarded, "guarded", some, at_rest=False, nullable=nullable)
        yield GuardedTables(straight, guarded)
