"""Lists of names in Milvus' answers: each principal sees the collections, aliases and databases that it may read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, Final

from google.protobuf.message import Message

from vecguard.errors import Denied
from vecguard.front.milvus.place import DEFAULT_DATABASE, Place, database_of
from vecguard.front.milvus.proto import m
from vecguard.pipeline import Session

# Lists of `ShowCollectionsResponse` and `ListDatabasesResponse` that have one item for each name.
_OF_COLLECTIONS: Final = (
    *("collection_names", "collection_ids", "created_timestamps", "created_utc_timestamps", "inMemory_percentages"),
    *("query_service_available", "shards_num"),
)
_OF_DATABASES: Final = ("db_names", "created_timestamp", "db_ids")


def keep_seen(answer: Message, in_message: str, session: Session) -> None:
    """Take out of an answer, in place, names that the principal may not read. `in_message`: the request's database.

    Raises:
        Denied: the answer describes a database of which it may read nothing.
    """
    database = database_of(in_message, session.metadata)
    if isinstance(answer, m.ShowCollectionsResponse):
        keys = [Place(database, name).key for name in answer.collection_names]
        _keep(answer, _OF_COLLECTIONS, [session.may_see(key) for key in keys])
    elif isinstance(answer, m.ListAliasesResponse):
        _keep(answer, ("aliases",), [session.may_see(Place(database, name).key) for name in answer.aliases])
    elif isinstance(answer, m.ListDatabasesResponse):
        _keep(answer, _OF_DATABASES, [_sees(name, session) for name in answer.db_names])
    elif isinstance(answer, m.DescribeDatabaseResponse) and not _sees(answer.db_name or DEFAULT_DATABASE, session):
        raise Denied("the policy grants no collection of that database")


def _sees(database: str, session: Session) -> bool:
    return database == DEFAULT_DATABASE or session.may_see_database(database)


def _keep(answer: Message, lists: Sequence[str], seen: Sequence[bool]) -> None:
    if all(seen):
        return
    for name in lists:
        values: Any = getattr(answer, name)
        if len(values) == len(seen):
            kept = list(compress(values, seen))
            del values[:]
            values.extend(kept)
        elif len(values):  # which of them belong to the names that are shown cannot be told
            del values[:]
