"""Serving Qdrant's lists of names: each principal sees the collections and aliases that it may read."""

from __future__ import annotations

from qdrant_client import grpc as q

from vecguard.pipeline import Session

_LIST: str = "/qdrant.Collections/List"
_ALIASES: str = "/qdrant.Collections/ListAliases"
_OF_ONE: str = "/qdrant.Collections/ListCollectionAliases"


async def collections(ask: q.ListCollectionsRequest, session: Session) -> q.ListCollectionsResponse:
    """`Collections/List`."""
    answer = await session.call(_LIST, ask, q.ListCollectionsResponse)
    seen = [collection for collection in answer.collections if session.may_see(collection.name)]
    return q.ListCollectionsResponse(collections=seen, time=answer.time)


async def heed_all(session: Session) -> None:
    """Go by detection's word on the caller in every collection, for a call that concerns all of them.

    Raises:
        Suspended: in one of them its calls are refused for now.
    """
    answer = await session.call(_LIST, q.ListCollectionsRequest(), q.ListCollectionsResponse)
    for collection in answer.collections:
        await session.heed(collection.name)


async def aliases(ask: q.ListAliasesRequest, session: Session) -> q.ListAliasesResponse:
    """`Collections/ListAliases`."""
    return _seen(await session.call(_ALIASES, ask, q.ListAliasesResponse), session)


async def collection_aliases(ask: q.ListCollectionAliasesRequest, session: Session) -> q.ListAliasesResponse:
    """`Collections/ListCollectionAliases`."""
    await session.grant_named("read", ask.collection_name)
    return _seen(await session.call(_OF_ONE, ask, q.ListAliasesResponse), session)


def _seen(answer: q.ListAliasesResponse, session: Session) -> q.ListAliasesResponse:
    seen = [alias for alias in answer.aliases if session.may_see(alias.alias_name, alias.collection_name)]
    return q.ListAliasesResponse(aliases=seen, time=answer.time)
