"""After a full run over REST nothing of a client's is found in the database's files or the logs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient, models
from serving import bare_engine, serving_proxy

from proxy.byte_search import every_byte, found
from proxy.test_nothing_in_clear import (
    DIMS,
    POLICY,
    Written,
    components,
    found_runs,
    found_texts,
    told_numbers,
)

pytestmark = pytest.mark.slow

NAME = "noised-rest"


def payload(written: Written) -> dict[str, Any]:
    deep = {"tag": written.text("inner"), "deep": [written.text("deep"), {"x": written.number()}]}
    return {"tag": written.text("tag"), "note": written.text("note") * 3, "meta": deep, "open": written.open("open")}


def point(number: int, written: Written) -> models.PointStruct:
    vectors = {"d": written.vector(), "m": [written.vector(), written.vector()]}
    return models.PointStruct(id=number, vector=vectors, payload=payload(written))


def write(client: QdrantClient, written: Written) -> None:
    """Every kind of write."""
    max_sim = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    client.create_collection(
        NAME,
        vectors_config={
            "d": models.VectorParams(size=DIMS, distance=models.Distance.DOT),
            "m": models.VectorParams(size=DIMS, distance=models.Distance.DOT, multivector_config=max_sim),
        },
        metadata={"owner": written.text("owner")},
    )
    client.upsert(NAME, [point(number, written) for number in range(10)], wait=True)
    columns = {"d": [written.vector(), written.vector()]}
    client.upsert(
        NAME, models.Batch(ids=[20, 21], vectors=columns, payloads=[payload(written), payload(written)]), wait=True
    )
    client.set_payload(NAME, {"note": written.text("set"), "new": {"x": written.text("new")}}, points=[1, 2], wait=True)
    client.overwrite_payload(NAME, {"note": written.text("over")}, points=[3], wait=True)
    client.set_payload(NAME, {"x": written.text("keyed")}, points=[4], key="meta", wait=True)
    client.update_vectors(NAME, [models.PointVectors(id=5, vector={"d": written.vector()})], wait=True)
    operation = models.UpsertOperation(upsert=models.PointsList(points=[point(30, written)]))
    client.batch_update_points(NAME, [operation], wait=True)
    conditional = models.Filter(must=[models.HasIdCondition(has_id=[1])])
    client.upsert(NAME, [point(1, written)], update_filter=conditional, wait=True)


def ask(client: QdrantClient, written: Written) -> None:
    """Every kind of read."""
    tagged = models.Filter(
        must=[models.FieldCondition(key="tag", match=models.MatchValue(value=written.text("asked")))]
    )
    client.query_points(NAME, written.vector(), using="d", query_filter=tagged)
    client.query_points(NAME, [written.vector()], using="m", with_vectors=True)
    client.query_batch_points(NAME, [models.QueryRequest(query=written.vector(), using="d", limit=3)])
    recommend = models.RecommendInput(positive=[1, written.vector()], negative=[2])
    client.query_points(NAME, models.RecommendQuery(recommend=recommend), using="d")
    client.query_points_groups(NAME, "tag", query=written.vector(), using="d")
    assert client.count(NAME, tagged).count == 0
    assert len(client.scroll(NAME, limit=100, with_vectors=True)[0]) == 13


def refused(url: str, written: Written) -> bytes:
    """Calls that fail with a client's data in them; their answers."""
    points = f"/collections/{NAME}/points"
    vector, text = written.vector(), written.text("refused")
    sealed = {"must": [{"key": "note", "match": {"value": text}}]}
    bodies: list[tuple[str, str, Any]] = [
        ("PUT", points, {"points": [{"id": 1, "vector": {"d": vector[:9]}, "payload": {"x": text}}]}),
        ("PUT", points, {"points": [{"id": 1, "vector": {"d": vector}, "payload": {"x": text}, "extra": vector}]}),
        ("PUT", points, {"points": [{"id": 1, "vector": {"d": [*vector[1:], None]}, "payload": {"x": text}}]}),
        ("PUT", points, {"points": [{"id": -1, "vector": {"d": vector}, "payload": {"x": text}}]}),
        ("PUT", points, {"points": [{"id": 1, "vector": {"text": text, "model": "m"}}]}),
        ("PUT", points, {"points": [{"id": 1, "vector": {"?": vector}, "payload": {"x": [text, 2**63]}}]}),
        ("POST", f"{points}/query", {"query": vector[:7], "using": "d"}),
        ("POST", f"{points}/query", {"query": vector, "using": "d", "limit": text}),
        ("POST", f"{points}/query", {"query": {"nearest": vector, "closest": text}}),
        ("POST", f"{points}/count", {"filter": sealed}),
        ("POST", f"{points}/scroll", {"order_by": {"key": "note", "start_from": text}}),
        ("POST", "/collections/absent-x/points/query", {"query": vector}),
        ("POST", "/nowhere", {"vector": vector, "text": text}),
    ]
    answers = []
    for method, path, body in bodies:
        answer = httpx.request(method, f"{url}{path}", json=body, timeout=20)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        answers.append(answer.content)
    broken = httpx.post(
        f"{url}{points}/query", content=f'{{"x": "{text}'.encode(), headers={"content-type": "application/json"}
    )
    assert broken.status_code == 400
    return b"\n".join([*answers, broken.content])


def test_nothing_of_a_clients_is_found(tmp_path: Path) -> None:
    written = Written()
    with serving_proxy(tmp_path, POLICY, rest=True) as proxy:
        client = proxy.rest_client()
        write(client, written)
        ask(client, written)
        errors = refused(proxy.url, written)
        client.create_snapshot(NAME)
        client.close()
        running = every_byte(proxy.data)
    database, logs = running + every_byte(proxy.data), proxy.log.read_bytes()
    assert len(re.findall(rb'"protocol": ?"rest"', logs)) > 30
    assert len(written.texts) > 70
    assert len(written.vectors) > 30
    assert found_texts(database, written.texts) == []
    assert found_texts(logs, written.texts) == []
    assert found_runs(database, written) == found_runs(logs, written) == found_runs(errors, written) == 0
    assert found(re.sub(rb'"time": ?[0-9.e-]+', b"", errors), [text for _, text in components(written)]) == set()
    assert told_numbers(logs, written) == []
    assert set(found_texts(database, written.plain)) == set(written.plain), "the search looks in the right place"


def test_the_search_finds_it_where_nothing_is_protected(tmp_path: Path) -> None:
    """The positive control: the same writes on the bare engine leave texts and vectors in its files."""
    written = Written()
    with bare_engine(tmp_path) as server:
        client = server.client()
        write(client, written)
        client.close()
        data = every_byte(server.data)
    data += every_byte(server.data)
    assert len(found_texts(data, written.texts)) > 0.8 * len(written.texts)
    assert found_runs(data, written) > 0.8 * len(written.vectors)
