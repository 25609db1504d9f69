"""The table of MilvusService: every RPC of the installed client, and how it is handled. What is not here is refused.

*protected*: its message is rewritten here, both ways. *passed*: it carries no vector, row or expression.
*admin*: passed, for principals with the admin action only. *refused*: it would move rows or text past the shield.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from vecguard.errors import InvalidArgument, Refused
from vecguard.front.milvus import (
    seen_names,
    serve_indexes,
    serve_reads,
    serve_schema,
    serve_search,
    serve_statistics,
    serve_writes,
    translation,
)
from vecguard.front.milvus.known_fields import require_known
from vecguard.front.milvus.metadata import require_clients
from vecguard.front.milvus.numbered import place_of_number
from vecguard.front.milvus.place import Place, database_of, place_of
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.status import ask
from vecguard.model import Action
from vecguard.pipeline import AnyRoute, Route, Session

Serve = Callable[[Any, Session], Awaitable[Any]]

_SHOWN: Final = "shown as the client made it"
_ROWS: Final = "a number of rows, without planted ones"

# Per RPC: action, serving function, why so.
_PROTECTED: Final[dict[str, tuple[Action, Serve, str]]] = {
    "CreateCollection": ("write", serve_schema.create, "manifest made; the schema is rewritten, and kept sealed"),
    "DropCollection": ("write", serve_schema.drop, "forgotten by every worker"),
    "DescribeCollection": ("read", serve_schema.describe, _SHOWN),
    "BatchDescribeCollection": ("read", serve_schema.batch_describe, _SHOWN),
    "AlterCollection": ("write", serve_schema.alter, "the client's properties; ours are reserved"),
    "AlterCollectionField": ("write", serve_schema.alter_field, "bounds are declared, and fit the stored form"),
    "AddCollectionField": ("write", serve_schema.add_field, "declared, and made in its stored form"),
    "AlterCollectionSchema": ("write", serve_schema.alter_schema, "fields as by AddCollectionField; functions refused"),
    "RenameCollection": ("write", serve_schema.rename, "the manifest is named anew"),
    "TruncateCollection": ("write", serve_schema.truncate, "rows go, the manifest stays"),
    "LoadCollection": ("read", serve_schema.load, "with the records of the vectors that are loaded"),
    "LoadPartitions": ("read", serve_schema.load, "with the records of the vectors that are loaded"),
    "CreateAlias": ("write", serve_schema.create_alias, "granted by the collection and the alias"),
    "AlterAlias": ("write", serve_schema.create_alias, "granted by the collection and the alias"),
    "DropAlias": ("write", serve_schema.drop_alias, "forgotten by every worker"),
    "CreateIndex": ("write", serve_indexes.create_index, "refused on sealed fields; fits the stored form"),
    "AlterIndex": ("write", serve_indexes.alter_index, "settings of loading only"),
    "DescribeIndex": ("read", serve_indexes.describe_index, _SHOWN),
    "GetIndexStatistics": ("read", serve_indexes.index_statistics, _SHOWN),
    "GetCollectionStatistics": ("read", serve_statistics.collection_statistics, _ROWS),
    "GetPartitionStatistics": ("read", serve_statistics.partition_statistics, _ROWS),
    "GetIndexBuildProgress": ("read", serve_statistics.build_progress, _ROWS),
    "Insert": ("write", serve_writes.insert, "vectors and columns protected"),
    "Upsert": ("write", serve_writes.upsert, "vectors and columns protected"),
    "Delete": ("write", serve_writes.delete, "expression rewritten"),
    "Query": ("read", serve_reads.query, "expression rewritten; vectors and columns opened"),
    "Search": ("read", serve_search.search, "query protected; candidates opened and scored exactly"),
    "HybridSearch": ("read", serve_search.hybrid_search, "each search exact; fused in the proxy on exact scores"),
}

_NAME: Final = "a name only"
_NAMES: Final = "names only"
_LOADING: Final = "states of loading only"
_PROGRESS: Final = "numbers and states only"
_PARTITION: Final = "names of partitions only"
_DATABASE: Final = "names and properties of databases"

_PASSED: Final[dict[str, tuple[Action, str]]] = {
    "Connect": ("read", "what the client says of itself, and the server"),
    "GetVersion": ("read", "the server's version"),
    "CheckHealth": ("read", "the server's state"),
    "GetComponentStates": ("read", "the server's state"),
    "AllocTimestamp": ("read", "a timestamp"),
    "HasCollection": ("read", _NAME),
    "ShowCollections": ("read", "names, numbers and states of loading"),
    "ReleaseCollection": ("write", _NAME),
    "ReleasePartitions": ("write", _NAMES),
    "GetLoadingProgress": ("read", _LOADING),
    "GetLoadState": ("read", _LOADING),
    "CreatePartition": ("write", _PARTITION),
    "DropPartition": ("write", _PARTITION),
    "HasPartition": ("read", _PARTITION),
    "ShowPartitions": ("read", _PARTITION),
    "DescribeAlias": ("read", _NAMES),
    "ListAliases": ("read", _NAMES),
    "DropIndex": ("write", _NAME),
    "GetIndexState": ("read", _PROGRESS),
    "Flush": ("write", _NAMES),
    "FlushAll": ("write", _NAMES),
    "GetFlushState": ("read", _PROGRESS),
    "GetFlushAllState": ("read", _PROGRESS),
    "GetPersistentSegmentInfo": ("read", "numbers and sizes of segments"),
    "GetQuerySegmentInfo": ("read", "numbers and sizes of segments"),
    "GetReplicas": ("read", "where replicas are"),
    "ManualCompaction": ("write", _PROGRESS),
    "GetCompactionState": ("read", _PROGRESS),
    "GetCompactionStateWithPlans": ("read", _PROGRESS),
    "CreateDatabase": ("write", _DATABASE),
    "DropDatabase": ("write", _DATABASE),
    "ListDatabases": ("read", _DATABASE),
    "AlterDatabase": ("write", _DATABASE),
    "DescribeDatabase": ("read", _DATABASE),
}

_ROLES: Final = "users, roles and privileges of the database"
_NODES: Final = "layout of the cluster"

_ADMIN: Final[dict[str, str]] = {
    **dict.fromkeys(
        (
            *("CreateCredential", "UpdateCredential", "DeleteCredential", "ListCredUsers"),
            *("CreateRole", "AlterRole", "DropRole", "OperateUserRole", "SelectRole", "SelectUser"),
            *("OperatePrivilege", "OperatePrivilegeV2", "SelectGrant", "CreatePrivilegeGroup", "DropPrivilegeGroup"),
            *("ListPrivilegeGroups", "OperatePrivilegeGroup"),
            *("AddUserTags", "DeleteUserTags", "GetUserTags", "ListUsersWithTag"),
        ),
        _ROLES,
    ),
    **dict.fromkeys(
        (
            *("CreateResourceGroup", "DropResourceGroup", "UpdateResourceGroups", "ListResourceGroups"),
            *("DescribeResourceGroup", "TransferNode", "TransferReplica", "LoadBalance"),
        ),
        _NODES,
    ),
    "GetMetrics": "numbers about the server",
}

_SNAPSHOT: Final = "a snapshot is restored under names and numbers that the manifest does not know"
_EXPORT: Final = "moves rows out of the database past the proxy"
_EXTERNAL: Final = "an external collection's rows do not come through the proxy"
_REPLICATION: Final = "moves rows between clusters past the proxy"
_IMPORT: Final = "files are read by the database itself, in clear; insert the rows through the proxy"
_TEXT: Final = "its text would reach the database in clear"
_FILES: Final = "files for text analysis, which encrypted text does not have"
_NAMESPACE: Final = "protected collections have no namespaces; use partitions"
_FUNCTIONS: Final = "functions of a protected collection are declared when it is made"
_POLICIES: Final = "the expression would reach the database in clear, and could not be answered on encrypted rows"
_RBAC: Final = "moves credentials of the database past the proxy"
_INTERNALS: Final = "shows what an index holds"
_WARMING: Final = "its fields are not known to fit the stored ones; load the collection instead"

_REFUSED: Final[dict[str, str]] = {
    "CalcDistance": "its vectors would reach the database in clear",
    **dict.fromkeys(("Import", "GetImportState", "ListImportTasks"), _IMPORT),
    **dict.fromkeys(("RunAnalyzer", "ComputePhraseMatchSlop"), _TEXT),
    "Dummy": "a query in a form that is not looked into",
    "RegisterLink": "gives the database's own address away",
    **dict.fromkeys(
        (
            *("ReplicateMessage", "CreateReplicateStream", "DumpMessages", "GetReplicateInfo"),
            *("UpdateReplicateConfiguration", "GetReplicateConfiguration"),
        ),
        _REPLICATION,
    ),
    **dict.fromkeys(("CreateRowPolicy", "DropRowPolicy", "ListRowPolicies"), _POLICIES),
    **dict.fromkeys(("BackupRBAC", "RestoreRBAC"), _RBAC),
    **dict.fromkeys(
        (
            *("CreateSnapshot", "DropSnapshot", "ListSnapshots", "DescribeSnapshot", "RestoreSnapshot"),
            *("GetRestoreSnapshotState", "ListRestoreSnapshotJobs", "PinSnapshotData", "UnpinSnapshotData"),
        ),
        _SNAPSHOT,
    ),
    **dict.fromkeys(("ExportSnapshot", "GetExportSnapshotState", "RestoreExternalSnapshot"), _EXPORT),
    **dict.fromkeys(
        (
            *("RefreshExternalCollection", "GetRefreshExternalCollectionProgress"),
            *("ListRefreshExternalCollectionJobs", "BatchUpdateManifest"),
        ),
        _EXTERNAL,
    ),
    **dict.fromkeys(("AddFileResource", "RemoveFileResource", "ListFileResources"), _FILES),
    **dict.fromkeys(
        (
            *("CreateNamespace", "DescribeNamespace", "ListNamespaces", "DropNamespace", "HasNamespace"),
            "GetNamespaceStats",
        ),
        _NAMESPACE,
    ),
    **dict.fromkeys(("AddCollectionFunction", "AlterCollectionFunction", "DropCollectionFunction"), _FUNCTIONS),
    "AddCollectionStructField": "arrays of structs cannot be protected",
    **dict.fromkeys(("ListIndexedSegment", "DescribeSegmentIndexData"), _INTERNALS),
    **dict.fromkeys(("Prewarm", "DescribePrewarmTask"), _WARMING),
}

# Fields of requests that name a collection, or an alias of one; each named one is granted.
_NAMING: Final = ("collection_name", "collectionName", "alias")
_DATABASES: Final = ("db_name", "dbName")
_NUMBERS: Final = ("collectionID", "collection_id")


def _named(request: Message) -> Iterator[str]:
    """Names of the collections that a request is about."""
    fields = request.DESCRIPTOR.fields_by_name
    for field in _NAMING:
        if field in fields and (name := getattr(request, field)):
            yield name
    if "collection_names" in fields and not fields["collection_names"].message_type:
        yield from getattr(request, "collection_names")  # noqa: B009 - looked up just above


def _database(request: Message) -> str:
    fields = request.DESCRIPTOR.fields_by_name
    return next((str(getattr(request, field)) for field in _DATABASES if field in fields), "")


def _passing(method: str, action: Action, reply: type[Message]) -> Serve:
    async def serve(request: Message, session: Session) -> Message:
        places = [place async for place in _places(request, session)]
        for place in places:
            await session.grant_named(action, place.key)
        if not places:
            session.grant(action, None)
        if "properties" in request.DESCRIPTOR.fields_by_name:
            require_clients(getattr(request, "properties"))  # noqa: B009 - looked up just above
        answer = await ask(session, method, request, reply)
        seen_names.keep_seen(answer, _database(request), session)
        return answer

    return serve


async def _places(request: Message, session: Session) -> AsyncIterator[Place]:
    """The collections that a request is about, by name, in lists of names, and by number."""
    for name in _named(request):
        yield place_of(_database(request), name, session.metadata)
    for target in getattr(request, "flush_targets", ()):
        for name in target.collection_names:
            yield place_of(target.db_name, name, session.metadata)
    for number in (getattr(request, field, 0) for field in _NUMBERS):
        if number:
            database = database_of(_database(request), session.metadata)
            yield await place_of_number(number, database, session)


def _understood(serve: Serve) -> Serve:
    """Serve only requests every part of which was looked at when this was written."""

    async def checked(request: Message, session: Session) -> Message:
        require_known(request)
        _require_plain_base(request)
        answer: Message = await serve(request, session)
        return answer

    return checked


def _require_plain_base(request: Message) -> None:
    """Refuse what servers say to each other (replication) in a client's request.

    Raises:
        InvalidArgument: it is there.
    """
    if "base" not in request.DESCRIPTOR.fields_by_name or not request.HasField("base"):
        return
    base: c.MsgBase = getattr(request, "base")  # noqa: B009 - looked up just above
    if base.properties or base.HasField("replicateInfo"):
        raise InvalidArgument("base: replication and properties belong to calls between servers: invalid parameter")


def _translated(serve: Serve) -> Serve:
    async def translated(request: Message, session: Session) -> Message:
        answer: Message = await serve(request, session.translated(translation))
        return answer

    return translated


def _refusing(name: str, why: str) -> Serve:
    async def serve(request: Message, session: Session) -> Message:
        raise Refused(f"{name} is refused: {why}")

    return serve


def _route(method: MethodDescriptor) -> AnyRoute | None:
    """How a method is handled; None where the table does not say, so that it is refused as unknown."""
    name, path = method.name, rpc(method.name)
    request, reply = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    if name in _PROTECTED:
        action, serve, about = _PROTECTED[name]
        return Route(path, request, reply, "protected", action, about, _understood(_translated(serve)))
    if name in _PASSED:
        action, about = _PASSED[name]
        return Route(path, request, reply, "passed", action, about, _understood(_passing(path, action, reply)))
    if name in _ADMIN:
        return Route(path, request, reply, "admin", "admin", _ADMIN[name], _understood(_passing(path, "admin", reply)))
    if name in _REFUSED:
        return Route(path, request, reply, "refused", "read", _REFUSED[name], _refusing(name, _REFUSED[name]))
    return None


def _routes() -> Iterator[AnyRoute]:
    """One route a method that the installed client has and the table knows."""
    for method in m.DESCRIPTOR.services_by_name["MilvusService"].methods:
        found = _route(method)
        if found is not None:
            yield found


ROUTES: Final[dict[str, AnyRoute]] = {route.rpc: route for route in _routes()}
HANDLED: Final = frozenset({*_PROTECTED, *_PASSED, *_ADMIN, *_REFUSED})
"""Names of all methods that the table knows, of whichever version of the client."""
