"""The table has every operation of Qdrant's OpenAPI document, and nothing in it goes round the pipeline."""

from __future__ import annotations

import re

import pytest

from front.rest.openapi import OLD, Operation, operations
from vecguard.front.qdrant.table import ROUTES
from vecguard.front.rest.endpoint import Endpoint, Refused, Transfer
from vecguard.front.rest.table import ENDPOINTS

# Known to servers, but not in the document of the client's version.
BEYOND = {
    ("GET", "/locks"),
    ("POST", "/locks"),
    ("POST", "/collections/{}/shards/{}/snapshots/partial/create"),
    *(("POST", path.replace("{collection_name}", "{}")) for path in OLD),
}


def unnamed(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


TABLE = {(endpoint.method, unnamed(endpoint.path)): endpoint for endpoint in ENDPOINTS}
CALLED = [endpoint for endpoint in ENDPOINTS if isinstance(endpoint, Endpoint)]


def test_an_endpoint_has_one_row() -> None:
    assert len(TABLE) == len(ENDPOINTS)


@pytest.mark.parametrize("operation", operations(), ids=lambda one: one.name)
def test_every_operation_of_the_document_is_there_with_its_parameters(operation: Operation) -> None:
    endpoint = TABLE[operation.method, unnamed(operation.path)]
    assert not isinstance(endpoint, Endpoint | Transfer) or set(endpoint.query) == operation.query


def test_nothing_else_is_there() -> None:
    assert TABLE.keys() - {(one.method, unnamed(one.path)) for one in operations()} == BEYOND


@pytest.mark.parametrize("endpoint", CALLED, ids=lambda one: f"{one.method} {one.path}")
def test_an_endpoint_is_a_call_of_an_rpc_that_the_grpc_front_knows(endpoint: Endpoint) -> None:
    route = ROUTES[endpoint.rpc]
    assert endpoint.reply is route.reply


def test_every_rpc_has_an_endpoint() -> None:
    assert ROUTES.keys() == {endpoint.rpc for endpoint in CALLED}


def test_what_is_refused_says_why() -> None:
    refused = [endpoint for endpoint in ENDPOINTS if isinstance(endpoint, Refused)]
    assert len(refused) > 20
    assert all(len(endpoint.about) > 20 for endpoint in refused)


def test_what_moves_snapshot_files_of_shards_is_refused() -> None:
    files = [key for key in TABLE if re.search(r"snapshots?/(recover|upload|\{\})$|/snapshot$", key[1])]
    assert len(files) == 11
    assert all(isinstance(TABLE[key], Refused) or key[0] == "DELETE" for key in files if "/shards/" in key[1])
    moved = [key for key in files if isinstance(TABLE[key], Transfer)]
    assert sorted(moved) == [
        ("GET", "/collections/{}/snapshots/{}"),
        ("GET", "/snapshots/{}"),
        ("POST", "/collections/{}/snapshots/upload"),
        ("PUT", "/collections/{}/snapshots/recover"),
    ]
