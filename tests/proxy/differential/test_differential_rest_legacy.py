"""The endpoints of older clients answer over REST what the same RPCs answer straight from the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest
from front.rest.openapi import check
from qdrant_client import grpc as pb
from qdrant_client.conversions.conversion import GrpcToRest
from serving import Proxy

from . import library
from .conftest import Proxies
from .legacy_operations import legacy
from .over_rest import RestPair, as_rest
from .sides import Call, Tied, cases, differences, plain, untied

RestPairs = Callable[[str, str], RestPair]
PATHS = {
    "Search": "search",
    "SearchBatch": "search/batch",
    "SearchGroups": "search/groups",
    "Recommend": "recommend",
    "RecommendBatch": "recommend/batch",
    "RecommendGroups": "recommend/groups",
    "Discover": "discover",
    "DiscoverBatch": "discover/batch",
}
PLAIN = ("limit", "offset", "score_threshold", "using", "group_by", "group_size")


class Caught(Exception):
    """The one message that a call would have sent."""

    def __init__(self, rpc: str, message: Any) -> None:
        self.rpc = rpc
        self.message = message


class Catcher:
    """Takes the message of a call instead of sending it."""

    def __getattr__(self, rpc: str) -> Any:
        def call(message: Any) -> Any:
            raise Caught(rpc, message)

        return call


def dumped(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True) if hasattr(model, "model_dump") else model


def vector(message: pb.Vector) -> Any:
    if message.WhichOneof("vector") is None:
        if message.HasField("indices") or message.HasField("vectors_count"):
            pytest.skip("REST has no vectors in these deprecated forms")
        return list(message.data)
    return dumped(GrpcToRest.convert_vector(message))


def example(message: pb.VectorExample) -> Any:
    kind = message.WhichOneof("example")
    if kind is None:
        pytest.skip("REST has no empty example")
    return GrpcToRest.convert_point_id(message.id) if kind == "id" else vector(message.vector)


def search_vector(message: Any) -> Any:
    values = list(message.vector)
    if message.HasField("sparse_indices"):
        values = {"indices": list(message.sparse_indices.data), "values": values}
    return {"name": message.vector_name, "vector": values} if message.HasField("vector_name") else values


def as_json(message: Any) -> dict[str, Any]:
    """An old request as the JSON of its endpoint."""
    fields = {field.name: value for field, value in message.ListFields()}
    batch = next((value for name, value in fields.items() if name.endswith("_points")), None)
    if batch is not None or type(message).__name__.endswith("BatchPoints"):
        return {"searches": [as_json(one) for one in batch or []]}
    body: dict[str, Any] = {"limit": message.limit, **{name: fields[name] for name in PLAIN if name in fields}}
    if hasattr(message, "group_size"):
        body["group_size"], body["group_by"] = message.group_size, message.group_by
    if hasattr(message, "vector_name"):
        body["vector"] = search_vector(message)
    for side in ("positive", "negative"):
        if side in fields or f"{side}_vectors" in fields:
            ids = [GrpcToRest.convert_point_id(one) for one in fields.get(side, [])]
            body[side] = [*ids, *(vector(one) for one in fields.get(f"{side}_vectors", []))]
    if "strategy" in fields or (hasattr(message, "strategy") and message.HasField("strategy")):
        body["strategy"] = GrpcToRest.convert_recommend_strategy(message.strategy).value
    if "target" in fields:
        body["target"] = example(message.target.single)
    if "context" in fields:
        body["context"] = [{"positive": example(p.positive), "negative": example(p.negative)} for p in message.context]
    convert = {
        "filter": GrpcToRest.convert_filter,
        "params": GrpcToRest.convert_search_params,
        "with_payload": GrpcToRest.convert_with_payload_selector,
        "lookup_from": GrpcToRest.convert_lookup_location,
        "with_lookup": GrpcToRest.convert_with_lookup,
    }
    body.update({name: dumped(make(fields[name])) for name, make in convert.items() if name in fields})
    if "with_vectors" in fields:
        body["with_vector"] = GrpcToRest.convert_with_vectors_selector(message.with_vectors)
    return body


def expected(pair: RestPair, call: Call) -> Any:
    """What the engine answers, in the models of REST."""
    try:
        reply: Any = call(pair.direct)
    except grpc.RpcError as refusal:
        return as_rest({"refused": (refusal.code().name, refusal.details() or "")})
    if hasattr(reply.result, "groups"):
        return as_rest({"answer": plain(dumped(GrpcToRest.convert_groups_result(reply.result)))})
    if type(reply).__name__.endswith("BatchResponse"):
        found: Any = [[dumped(GrpcToRest.convert_scored_point(point)) for point in one.result] for one in reply.result]
    else:
        found = [dumped(GrpcToRest.convert_scored_point(point)) for point in reply.result]
    return as_rest({"answer": plain(found)})


def over_rest(server: Proxy, rpc: str, message: Any, prefix: str) -> Any:
    path = f"/collections/{message.collection_name}/points/{PATHS[rpc]}"
    answer = httpx.post(f"{server.url}{path}", json=as_json(message), timeout=30)
    check("POST", path, answer.status_code, answer.json())
    if answer.status_code != 200:
        return {"refused": (answer.status_code, answer.json()["status"]["error"].replace(prefix, ""))}
    return as_rest({"answer": plain(answer.json()["result"])})


OLD = legacy("cosine")


@cases(
    OLD,
    quick=lambda name: name in ("search-sparse", "search-batch", "recommend-groups", "discover", "search-limit-none"),
)
def test_old_endpoints(call: Call, rest_pairs: RestPairs, proxy: Proxies) -> None:
    pair = rest_pairs("exact", "cosine")
    try:
        call(replace(pair.proxied, points=Catcher()))  # type: ignore[arg-type]
    except Caught as caught:
        rpc, message = caught.rpc, caught.message
    else:
        pytest.skip("sends nothing old")
    if rpc not in PATHS:
        pytest.skip("is not an endpoint of older clients")
    wanted, got = expected(pair, call), over_rest(proxy(library.POLICY), rpc, message, pair.proxied.prefix)
    if isinstance(call, Tied):
        wanted, got = untied(wanted, got)
    found = list(differences(wanted, got))
    assert not found, "engine and REST differ:\n" + "\n".join(found[:8])
