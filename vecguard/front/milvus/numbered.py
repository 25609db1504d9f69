"""Collections that a request names by number: found by name first, so that the policy can be asked about them."""

from __future__ import annotations

from typing import Final

from vecguard.errors import NotFound
from vecguard.front.milvus.place import Place
from vecguard.front.milvus.proto import m, rpc
from vecguard.front.milvus.status import ask
from vecguard.pipeline import Session

_SHOW: Final = rpc("ShowCollections")


async def place_of_number(number: int, database: str, session: Session) -> Place:
    """The collection with this number, of those in one database: a number is good in no other.

    Raises:
        NotFound: there is none, in Milvus' words.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    shown = await ask(session, _SHOW, m.ShowCollectionsRequest(db_name=database), m.ShowCollectionsResponse)
    names = dict(zip(shown.collection_ids, shown.collection_names, strict=False))
    if number not in names:
        raise NotFound(f"collection not found[collection={number}]")
    return Place(database, names[number])
