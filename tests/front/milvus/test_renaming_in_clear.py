"""A collection that the policy leaves in clear is renamed, though its old name is gone when the call ends."""

from __future__ import annotations

import asyncio
from typing import Any

from vecguard.access.identify import Identifier
from vecguard.catalog import Catalog
from vecguard.front.milvus import FRONT
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.model import Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.upstream import Upstream

RULES = Policy(version=1, collections=(CollectionPolicy(match="clear_*", protect="none"), CollectionPolicy(match="*")))


class Database(Upstream):
    """Knows one collection, by its name of the moment."""

    def __init__(self) -> None:
        self.name = "clear_old"

    async def call(self, rpc: str, request: Any, answer: type[Any], caller: Caller) -> Any:
        if isinstance(request, m.DescribeCollectionRequest):
            if request.collection_name != self.name:
                return answer(status=c.Status(code=100, reason="collection not found"))
            return m.DescribeCollectionResponse(schema=s.CollectionSchema(name=self.name))
        assert isinstance(request, m.RenameCollectionRequest)
        self.name = request.newName
        return answer()


def renamed(new: str) -> tuple[int, str]:
    database = Database()

    async def read(key: str, caller: Caller) -> Any:
        return await FRONT.read_manifest(database, key, caller)

    async def real_name(key: str, caller: Caller) -> str:
        return await FRONT.real_name(database, key, caller)

    catalog = Catalog(read, real_name, LocalWrapping(Key(bytes(32))), lambda: RULES, Generation(None, 1, 0))
    pipeline = Pipeline(
        FRONT.routes,
        catalog,
        database,
        lambda: RULES,
        Identifier(lambda: RULES),
        lambda event, **fields: None,
        failed=FRONT.failed,
    )
    request = m.RenameCollectionRequest(oldName="clear_old", newName=new)
    body = asyncio.run(pipeline.handle(rpc("RenameCollection"), request.SerializeToString(), {}, 10.0))
    return c.Status.FromString(body).code, database.name


def test_it_goes_where_the_policy_leaves_it_in_clear_and_nowhere_else() -> None:
    assert renamed("clear_new") == (0, "clear_new")
    assert renamed("guarded") == (3000, "clear_old")
