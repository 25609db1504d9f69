"""The shared servers answer the ordinary client, and a proxy's engine holds what went through it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from qdrant_client import models
from serving import Proxy, Server


def write(server: Server) -> list[int | str]:
    client = server.client()
    client.create_collection("serving", vectors_config=models.VectorParams(size=3, distance=models.Distance.COSINE))
    client.upsert("serving", [models.PointStruct(id=1, vector=[1.0, 2.0, 3.0], payload={"text": "hello"})])
    found = client.query_points("serving", query=[1.0, 2.0, 3.0]).points
    client.delete_collection("serving")
    client.close()
    return [(point.id, point.payload, round(point.score, 4)) for point in found]


@pytest.mark.slow
def test_engine_and_proxy_answer_alike(engine: Server, proxy: Callable[[str | None], Proxy]) -> None:
    assert write(engine) == write(proxy(None)) == [(1, {"text": "hello"}, 1.0)]


def test_a_proxy_is_started_once_for_a_policy(proxy: Callable[[str | None], Proxy]) -> None:
    assert proxy(None) is proxy(None)
