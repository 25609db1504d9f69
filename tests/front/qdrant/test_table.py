"""The table covers the pinned client's whole API, with the right messages, and every RPC asks the policy first."""

from __future__ import annotations

import asyncio

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from qdrant_client import grpc as q

from vecguard.access.identify import Identifier
from vecguard.catalog import Catalog, StoredManifest
from vecguard.errors import Denied, UpstreamFailure, VecGuardError
from vecguard.front.qdrant import FRONT
from vecguard.front.qdrant.table import ROUTES
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.model import Action, Caller
from vecguard.pipeline import Pipeline
from vecguard.policy.model import Access, CollectionPolicy, Policy
from vecguard.upstream import Upstream

FILES = (q.points_service_pb2, q.collections_service_pb2, q.snapshots_service_pb2, q.qdrant_pb2)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ADMIN = {rpc for rpc in METHODS if rpc.startswith("/qdrant.Snapshots/")} | {
    "/qdrant.Collections/CreateShardKey",
    "/qdrant.Collections/DeleteShardKey",
    "/qdrant.Collections/UpdateCollectionClusterSetup",
}
# Messages with none of these carry nothing of a client's: such an RPC may be passed.
SENSITIVE = {
    "Vector",
    "Vectors",
    "VectorInput",
    "Value",
    "Filter",
    "Condition",
    "PointStruct",
    "ScoredPoint",
    "RetrievedPoint",
}


def test_every_rpc_of_the_pinned_client_is_in_the_table() -> None:
    assert set(ROUTES) == set(METHODS)
    assert len(METHODS) > 50


@pytest.mark.parametrize("rpc", METHODS)
def test_message_types_agree(rpc: str) -> None:
    route, method = ROUTES[rpc], METHODS[rpc]
    assert route.rpc == rpc
    assert route.ask is GetMessageClass(method.input_type)
    assert route.reply is GetMessageClass(method.output_type)
    assert not method.client_streaming
    assert not method.server_streaming


def reached(message: type[Message]) -> set[str]:
    """Names of all message types that a message can hold, at any depth."""
    found: set[str] = set()
    waiting = [message.DESCRIPTOR]
    while waiting:
        descriptor = waiting.pop()
        if descriptor.name not in found:
            found.add(descriptor.name)
            waiting += [field.message_type for field in descriptor.fields if field.message_type is not None]
    return found


@pytest.mark.parametrize("rpc", METHODS)
def test_what_is_passed_carries_nothing_sensitive(rpc: str) -> None:
    route = ROUTES[rpc]
    if route.handling == "passed" or (route.handling == "admin" and "ClusterSetup" not in rpc):
        assert not (reached(route.ask) | reached(route.reply)) & SENSITIVE


def test_the_search_for_sensitive_messages_finds_them() -> None:
    assert "Filter" in reached(q.CountPoints)
    assert "VectorInput" in reached(q.QueryBatchPoints)


@pytest.mark.parametrize("rpc", METHODS)
def test_handling_and_action(rpc: str) -> None:
    route = ROUTES[rpc]
    assert (route.handling == "admin") == (route.action == "admin") == (rpc in ADMIN)
    assert route.about


def ask_of(rpc: str) -> Message:
    """A request that names the collection `c` in every place where the policy must look."""
    message: Message = ROUTES[rpc].ask()
    if "collection_name" in message.DESCRIPTOR.fields_by_name:
        message.collection_name = "c"
    complete(message)
    for batch in ("query_points", "search_points", "recommend_points", "discover_points"):
        if batch in message.DESCRIPTOR.fields_by_name:
            complete(getattr(message, batch).add())
    return message


def complete(message: Message) -> None:
    """Add what makes a request well formed, where it has the field."""
    fields = message.DESCRIPTOR.fields_by_name
    if "limit" in fields:
        message.limit = 1
    if "positive_vectors" in fields:
        message.positive.add(num=1)
    if "target" in fields and "context" in fields:
        message.target.single.id.num = 1


class _Silent:
    """A trail that keeps what was written."""

    def __init__(self) -> None:
        self.events: list[dict[str, object]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.events.append(fields)


def handle(rpc: str, message: Message, policy: Policy) -> tuple[VecGuardError | None, dict[str, object]]:
    """Run one call before a database that nobody listens for: what it ends with, and its trail."""
    trail = _Silent()

    async def run() -> VecGuardError | None:
        upstream = Upstream("127.0.0.1:1", max_message_bytes=1 << 20)

        async def read(name: str, caller: Caller) -> StoredManifest | None:
            return await FRONT.read_manifest(upstream, name, caller)

        async def real_name(name: str, caller: Caller) -> str:
            return await FRONT.real_name(upstream, name, caller)

        provider = LocalWrapping(Key(bytes(32)))
        catalog = Catalog(read, real_name, provider, lambda: policy, Generation(None, 1, 0))
        pipeline = Pipeline(ROUTES, catalog, upstream, lambda: policy, Identifier(lambda: policy), trail)
        try:
            await pipeline.handle(rpc, message.SerializeToString(), {}, 5.0)
        except VecGuardError as error:
            return error
        finally:
            await upstream.close()
        return None

    return asyncio.run(run()), trail.events[0]


def policy_of(*actions: Action) -> Policy:
    return Policy(version=1, access=Access(anonymous=actions), collections=(CollectionPolicy(match="c*"),))


OTHERS: dict[Action, tuple[Action, ...]] = {
    "read": ("write", "admin"),
    "write": ("read", "admin"),
    "admin": ("read", "write"),
}


@pytest.mark.parametrize("rpc", [rpc for rpc in METHODS if not ROUTES[rpc].is_open])
def test_without_its_action_an_rpc_is_denied(rpc: str) -> None:
    """No other action implies it, and nothing is asked of the database for what the policy settles by itself."""
    action = ROUTES[rpc].action
    error, event = handle(rpc, ask_of(rpc), policy_of(*OTHERS[action]))
    assert isinstance(error, Denied)
    assert f"may not {action}" in str(error)
    assert (event["status"], event["rpc"]) == ("PERMISSION_DENIED", rpc)


def test_health_alone_is_open_to_anybody() -> None:
    assert [rpc for rpc, route in ROUTES.items() if route.is_open] == ["/qdrant.Qdrant/HealthCheck"]
    error, event = handle("/qdrant.Qdrant/HealthCheck", q.HealthCheckRequest(), policy_of())
    assert isinstance(error, UpstreamFailure)
    assert event["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("rpc", METHODS)
def test_with_its_action_an_rpc_goes_on_to_the_database(rpc: str) -> None:
    error, event = handle(rpc, ask_of(rpc), policy_of(ROUTES[rpc].action))
    assert isinstance(error, UpstreamFailure)
    assert error.status == event["status"] == "UNAVAILABLE"


@pytest.mark.parametrize(
    "rpc", [rpc for rpc in METHODS if "collection_name" in ROUTES[rpc].ask.DESCRIPTOR.fields_by_name]
)
def test_a_collection_that_the_policy_does_not_cover(rpc: str) -> None:
    message = ask_of(rpc)
    message.collection_name = "other"
    error, _ = handle(rpc, message, policy_of("read", "write", "admin"))
    assert isinstance(error, Denied)
    assert "`other`" in str(error)
