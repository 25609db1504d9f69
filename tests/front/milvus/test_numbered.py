"""Collections named by number, and several at once: the policy is asked about each by its name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message

from vecguard.access.identify import Identifier
from vecguard.catalog import Catalog
from vecguard.front.milvus import FRONT
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.status import status_of
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.model import Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import Access, CollectionPolicy, Policy
from vecguard.upstream import Upstream

RULES = Policy(
    version=1,
    access=Access(anonymous=("read", "write")),
    collections=(CollectionPolicy(match="open", protect="none"), CollectionPolicy(match="team/open", protect="none")),
)
# Number and name by database; the policy covers `open` in both, and nothing else.
NUMBERS = {"default": {1: "open", 2: "other"}, "team": {3: "open", 4: "other"}}


class Database(Upstream):
    """Knows collections by name and number, as Milvus does; keeps what else it is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def call(self, rpc: str, request: Any, answer: type[Any], caller: Caller) -> Any:
        known = NUMBERS[getattr(request, "db_name", "") or dict(caller.metadata).get("dbname", "default")]
        if isinstance(request, m.ShowCollectionsRequest):
            return m.ShowCollectionsResponse(collection_ids=known, collection_names=known.values())
        if isinstance(request, m.DescribeCollectionRequest):
            names = {name: number for number, name in known.items()}
            # The number goes before the name: whoever leaves one in has it looked at.
            name = known.get(request.collectionID) or request.collection_name
            return m.DescribeCollectionResponse(
                collection_name=name, collectionID=names[name], schema=s.CollectionSchema(name=name)
            )
        self.sent.append(request)
        return answer()


def send(name: str, request: Message, header: str = "") -> tuple[Any, Database]:
    database = Database()

    async def read(key: str, caller: Caller) -> Any:
        return await FRONT.read_manifest(database, key, caller)

    async def real_name(key: str, caller: Caller) -> str:
        return await FRONT.real_name(database, key, caller)

    provider = LocalWrapping(Key(bytes(32)))
    pipeline = Pipeline(
        FRONT.routes,
        Catalog(read, real_name, provider, lambda: RULES, Generation(None, 1, 0)),
        database,
        lambda: RULES,
        Identifier(lambda: RULES),
        lambda event, **fields: None,
        failed=FRONT.failed,
        passed_metadata=FRONT.passed_metadata,
    )
    metadata = {"dbname": header} if header else {}
    body = asyncio.run(pipeline.handle(rpc(name), request.SerializeToString(), metadata, 10.0))
    return FRONT.routes[rpc(name)].reply.FromString(body), database


def code(reply: Any) -> int:
    status = status_of(reply)
    assert status is not None
    return int(status.code)


@pytest.mark.parametrize(("number", "header", "expected"), [(1, "", 0), (2, "", 1401), (3, "", 100), (3, "team", 0)])
def test_a_collection_is_described_by_number_where_its_name_is_allowed(number: int, header: str, expected: int) -> None:
    reply, _ = send("DescribeCollection", m.DescribeCollectionRequest(collectionID=number), header)
    assert code(reply) == expected
    assert reply.schema.name == ("open" if expected == 0 else "")


def test_beside_a_name_a_number_counts_for_nothing() -> None:
    """The name is what the policy was asked about."""
    reply, _ = send("DescribeCollection", m.DescribeCollectionRequest(collection_name="open", collectionID=2))
    assert (reply.schema.name, reply.collectionID) == ("open", 1)
    altered = m.AlterCollectionRequest(
        collection_name="open", collectionID=2, properties=[c.KeyValuePair(key="collection.ttl.seconds", value="9")]
    )
    _, database = send("AlterCollection", altered)
    assert [sent.collectionID for sent in database.sent] == [0]


def test_collections_are_not_described_together_by_number() -> None:
    reply, _ = send("BatchDescribeCollection", m.BatchDescribeCollectionRequest(collectionID=[2]))
    assert code(reply) == 1100


REQUESTS: list[tuple[str, str, Any]] = [
    ("GetReplicas", "collectionID", m.GetReplicasRequest),
    ("ManualCompaction", "collectionID", m.ManualCompactionRequest),
    ("ShowPartitions", "collectionID", m.ShowPartitionsRequest),
]


@pytest.mark.parametrize(("name", "field", "request_"), REQUESTS)
def test_what_is_passed_by_number_is_granted_by_name(name: str, field: str, request_: Any) -> None:
    for number, expected in ((1, 0), (2, 1401), (3, 100)):
        reply, database = send(name, request_(**{field: number}))
        assert code(reply) == expected
        assert len(database.sent) == (expected == 0)
    reply, _ = send(name, request_(**{field: 2}, collection_name="open"))
    assert code(reply) == 1401


def test_every_collection_of_a_flush_is_granted() -> None:
    for targets, expected in (
        ([m.FlushAllTarget(collection_names=["open"])], 0),
        ([m.FlushAllTarget(collection_names=["open"]), m.FlushAllTarget(collection_names=["other"])], 1401),
        ([m.FlushAllTarget(db_name="team", collection_names=["open"])], 0),
        ([m.FlushAllTarget(db_name="team", collection_names=["open", "other"])], 1401),
    ):
        reply, _ = send("FlushAll", m.FlushAllRequest(flush_targets=targets))
        assert code(reply) == expected
    reply, _ = send("Flush", m.FlushRequest(collection_names=["open", "other"]))
    assert code(reply) == 1401


def test_an_alias_is_granted_by_its_own_name() -> None:
    assert code(send("DescribeAlias", m.DescribeAliasRequest(alias="open"))[0]) == 0
    assert code(send("DescribeAlias", m.DescribeAliasRequest(alias="other"))[0]) == 1401
