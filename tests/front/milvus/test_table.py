"""The table covers the whole MilvusService of the installed pymilvus, and every RPC asks the policy first."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from vecguard.access.identify import Identifier
from vecguard.catalog import Catalog, StoredManifest
from vecguard.errors import Denied, Refused, UpstreamFailure
from vecguard.front.milvus import FRONT
from vecguard.front.milvus.proto import SERVICE, STREAMS, c, m
from vecguard.front.milvus.status import status_of
from vecguard.front.milvus.table import HANDLED, ROUTES
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.model import Action, Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import Access, CollectionPolicy, Policy
from vecguard.upstream import Upstream

METHODS: dict[str, MethodDescriptor] = {
    f"/{SERVICE}/{method.name}": method for method in m.DESCRIPTOR.services_by_name["MilvusService"].methods
}
# Messages with none of these carry nothing of a client's: such an RPC may be passed.
SENSITIVE_MESSAGES = {"FieldData", "VectorField", "ScalarField", "CollectionSchema", "FieldSchema", "TemplateValue"}
SENSITIVE_NAMES = {"expr", "dsl", "placeholder_group", "schema", "vectors", "rows"}


def test_every_rpc_of_the_installed_client_is_in_the_table() -> None:
    assert set(ROUTES) == set(METHODS)
    assert len(METHODS) > 90
    assert {rpc.rpartition("/")[2] for rpc in METHODS} <= HANDLED


@pytest.mark.parametrize("rpc", METHODS)
def test_message_types_agree(rpc: str) -> None:
    route, method = ROUTES[rpc], METHODS[rpc]
    assert route.rpc == rpc
    assert route.ask is GetMessageClass(method.input_type)
    assert route.reply is GetMessageClass(method.output_type)
    assert route.about


def parts(message: type[Message]) -> tuple[set[str], set[str]]:
    """Names of the messages and fields within a message, at any depth."""
    seen: set[str] = set()
    names: set[str] = set()
    waiting = [message.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen:
            continue
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            names.add(field.name)
            if field.message_type is not None:
                waiting.append(field.message_type)
    return {name.rpartition(".")[2] for name in seen}, names


@pytest.mark.parametrize("rpc", [rpc for rpc, route in ROUTES.items() if route.handling in ("passed", "admin")])
def test_what_is_passed_carries_nothing_of_a_clients(rpc: str) -> None:
    route = ROUTES[rpc]
    for message in (route.ask, route.reply):
        messages, names = parts(message)
        assert not messages & SENSITIVE_MESSAGES
        assert not names & SENSITIVE_NAMES


@pytest.mark.parametrize(
    "name",
    [
        *("CalcDistance", "Import", "RunAnalyzer", "ReplicateMessage", "CreateReplicateStream", "DumpMessages"),
        *("CreateRowPolicy", "BackupRBAC", "RestoreRBAC", "CreateSnapshot", "RestoreSnapshot", "ExportSnapshot"),
        *("RefreshExternalCollection", "AddCollectionFunction", "ComputePhraseMatchSlop", "BatchUpdateManifest"),
        *("AddFileResource", "Dummy", "DescribeSegmentIndexData"),
    ],
)
def test_what_moves_rows_or_text_past_the_proxy_is_refused(name: str) -> None:
    if f"/{SERVICE}/{name}" not in METHODS:
        assert name in HANDLED
        return
    route = ROUTES[f"/{SERVICE}/{name}"]
    assert route.handling == "refused"
    with pytest.raises(Refused, match=f"{name} is refused: "):
        asyncio.run(route.serve(route.ask(), None))


class Silent(Upstream):
    """A database that must not be asked."""

    def __init__(self) -> None:
        pass

    async def call(self, rpc: str, request: Message, answer: type[Message], caller: Caller) -> Message:  # type: ignore[override]
        raise AssertionError(f"{rpc} was forwarded")


async def no_manifest(key: str, caller: Caller) -> StoredManifest | None:
    raise UpstreamFailure("NOT_FOUND", "there is no collection")


async def same_name(key: str, caller: Caller) -> str:
    return key


def pipeline(*actions: Action, match: str = "*") -> Pipeline:
    rules = Policy(version=1, access=Access(anonymous=actions), collections=(CollectionPolicy(match=match),))
    provider = LocalWrapping(Key(bytes(32)))
    catalog = Catalog(no_manifest, same_name, provider, lambda: rules, Generation(None, 1, 0))
    return Pipeline(
        ROUTES,
        catalog,
        Silent(),
        lambda: rules,
        Identifier(lambda: rules),
        lambda event, **fields: None,
        failed=FRONT.failed,
    )


@pytest.mark.parametrize("rpc", METHODS)
def test_a_caller_without_any_right_gets_nothing(rpc: str) -> None:
    route = ROUTES[rpc]
    run = pipeline().handle(rpc, route.ask().SerializeToString(), {}, 5.0)
    if rpc in STREAMS or status_of(route.reply()) is None:
        with pytest.raises(Denied):
            asyncio.run(run)
        return
    status = status_of(route.reply.FromString(asyncio.run(run)))
    assert status is not None
    assert (status.code, status.error_code) == (1401, c.ErrorCode.PermissionDenied)


@pytest.mark.parametrize("rpc", [rpc for rpc, route in ROUTES.items() if route.handling == "admin"])
def test_administration_needs_the_admin_action(rpc: str) -> None:
    body = asyncio.run(pipeline("read", "write").handle(rpc, b"", {}, 5.0))
    status = status_of(ROUTES[rpc].reply.FromString(body))
    assert status is not None
    assert status.code == 1401


@pytest.mark.parametrize(
    "rpc", [rpc for rpc, route in ROUTES.items() if "collection_name" in route.ask.DESCRIPTOR.fields_by_name]
)
def test_a_collection_that_the_policy_does_not_cover_is_refused(rpc: str) -> None:
    route = ROUTES[rpc]
    if route.handling == "refused" or "[]" in str(route.ask.DESCRIPTOR.fields_by_name["collection_name"].default_value):
        return
    request = route.ask(collection_name="other")
    body = asyncio.run(
        pipeline("read", "write", "admin", match="notes").handle(rpc, request.SerializeToString(), {}, 5.0)
    )
    status = status_of(route.reply.FromString(body))
    assert status is not None
    assert status.code == 1401, status


def test_unknown_rpcs_are_a_grpc_status() -> None:
    with pytest.raises(Refused, match="not known to VecGuard"):
        asyncio.run(pipeline("read").handle(f"/{SERVICE}/Teleport", b"", {}, 5.0))


def test_unknown_fields_are_refused_in_the_reply() -> None:
    rpc = f"/{SERVICE}/Insert"
    body = asyncio.run(pipeline("read", "write").handle(rpc, b"\xfa\x7f\x03abc", {}, 5.0))
    status = m.MutationResult.FromString(body).status
    assert (status.code, status.error_code) == (1100, c.ErrorCode.IllegalArgument)
    assert "does not know" in status.reason
