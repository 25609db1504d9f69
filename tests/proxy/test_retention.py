"""Retention on a real engine: what is too old is in no answer, whoever asks how; and is deleted by a sweep."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import grpc as q
from qdrant_client import models
from serving import Server, serving_proxy

from proxy.behind import DIMS, Guarded, dense, guarded, refusal
from vecguard.front.qdrant.scope import WRITTEN

pytestmark = pytest.mark.slow

POLICY = """
version: 1
collections:
  - match: "kept-*"
    retention: 1h
    payload: {default: sealed, fields: {tag: searchable}}
  - match: "told-*"
    retention: {after: 1h, field: created, clock: milliseconds}
    payload: {default: sealed, fields: {tag: searchable, created: plain}}
  - match: "dated-*"
    retention: {after: 1h, field: created}
    payload: {default: sealed, fields: {tag: searchable, created: plain}}
  - match: "*"
    payload: {default: sealed, fields: {tag: searchable}}
"""
OLD = 2 * 3600
COUNT = 6
GONE = {1, 4}
"""Points that are too old."""


@pytest.fixture(scope="module")
def place(engine: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with guarded(engine, tmp_path_factory.mktemp("retention"), POLICY) as running:
        yield running


def row(number: int) -> list[float]:
    return [float((number * 3 + k * k) % 7 + number) for k in range(DIMS)]


def point(number: int, payload: dict[str, q.Value]) -> q.PointStruct:
    sparse = q.Vector(sparse=q.SparseVector(indices=[number, 50], values=[1.0, 0.5]))
    named = q.NamedVectors(vectors={"d": dense(row(number)), "s": sparse})
    fields = {"tag": q.Value(string_value=f"t{number % 2}"), **payload}
    return q.PointStruct(id=q.PointId(num=number), vectors=q.Vectors(vectors=named), payload=fields)


def make(place: Guarded, name: str, fields: Callable[[int], dict[str, q.Value]]) -> None:
    ask = q.CreateCollection(collection_name=name)
    ask.vectors_config.params_map.map["d"].CopyFrom(q.VectorParams(size=DIMS, distance=q.Distance.Cosine))
    ask.sparse_vectors_config.map["s"].SetInParent()
    place.client.collections.Create(ask)
    points = [point(i, fields(i)) for i in range(1, COUNT + 1)]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points, wait=True))
    index = q.CreateFieldIndexCollection(
        collection_name=name, field_name="tag", field_type=q.FieldType.FieldTypeKeyword, wait=True
    )
    place.client.points.CreateFieldIndex(index)


def age(place: Guarded, name: str, *numbers: int) -> None:
    """Have points be written long ago, behind the proxy's back."""
    ids = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=number) for number in numbers]))
    payload = {WRITTEN: q.Value(integer_value=int(time.time()) - OLD)}
    ask = q.SetPayloadPoints(collection_name=name, payload=payload, points_selector=ids, wait=True)
    place.rest.points.SetPayload(ask)


@pytest.fixture
def kept(request: pytest.FixtureRequest, place: Guarded) -> Iterator[str]:
    """A collection whose points 1 and 4 were written too long ago."""
    name = f"kept-{abs(hash(request.node.nodeid)):x}"
    make(place, name, lambda number: {})
    age(place, name, *GONE)
    yield name
    place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
    place.forget()


def at_rest(place: Guarded, name: str) -> set[int]:
    found = place.rest.points.Scroll(q.ScrollPoints(collection_name=name, limit=100)).result
    return {one.id.num for one in found}


def numbers(points: object) -> list[int]:
    return sorted(one.id.num for one in points)  # type: ignore[attr-defined]


LEFT = sorted(set(range(1, COUNT + 1)) - GONE)


def test_no_answer_has_them(place: Guarded, kept: str) -> None:
    points = place.client.points
    ids = [q.PointId(num=i) for i in range(1, COUNT + 1)]
    assert numbers(points.Get(q.GetPoints(collection_name=kept, ids=ids)).result) == LEFT
    assert numbers(points.Scroll(q.ScrollPoints(collection_name=kept, limit=50)).result) == LEFT
    for exact in (True, False):
        assert points.Count(q.CountPoints(collection_name=kept, exact=exact)).result.count == len(LEFT)
    search = q.QueryPoints(collection_name=kept, limit=50, using="d")
    search.query.nearest.dense.data.extend(row(1))
    assert numbers(points.Query(search).result) == LEFT
    sparse = q.QueryPoints(collection_name=kept, limit=50, using="s")
    sparse.query.nearest.sparse.CopyFrom(q.SparseVector(indices=[50], values=[1.0]))
    assert numbers(points.Query(sparse).result) == LEFT
    fused = q.QueryPoints(collection_name=kept, limit=50, query=q.Query(fusion=q.Fusion.RRF))
    for one in (search, sparse):
        fused.prefetch.add(query=one.query, using=one.using, limit=50)
    assert numbers(points.Query(fused).result) == LEFT
    plain = q.QueryPoints(collection_name=kept, limit=50)
    assert numbers(points.Query(plain).result) == LEFT
    groups = q.QueryPointGroups(
        collection_name=kept, query=search.query, using="d", limit=9, group_by="tag", group_size=9
    )
    found = points.QueryGroups(groups).result.groups
    assert numbers(hit for group in found for hit in group.hits) == LEFT
    facet = points.Facet(q.FacetCounts(collection_name=kept, key="tag")).hits
    assert {hit.value.string_value: hit.count for hit in facet} == {"t0": 2, "t1": 2}
    matrix = q.SearchMatrixPoints(collection_name=kept, sample=50, limit=9, using="d")
    pairs = points.SearchMatrixPairs(matrix).result.pairs
    assert {pair.a.num for pair in pairs} | {pair.b.num for pair in pairs} == set(LEFT)
    batch = q.QueryBatchPoints(collection_name=kept, query_points=[search, sparse])
    assert [numbers(one.result) for one in points.QueryBatch(batch).result] == [LEFT, LEFT]
    info = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=kept)).result
    assert info.points_count == len(LEFT)
    assert set(info.payload_schema) == {"tag"}


@pytest.mark.parametrize("using", ["d", "s"])
def test_they_are_no_examples(place: Guarded, kept: str, using: str) -> None:
    ask = q.QueryPoints(collection_name=kept, using=using)
    ask.query.nearest.id.num = 1
    assert refusal(lambda: place.client.points.Query(ask))[0].name == "NOT_FOUND"
    ask.query.nearest.id.num = 2
    assert 4 not in numbers(place.client.points.Query(ask).result)


def test_writes_leave_them_alone(place: Guarded, kept: str) -> None:
    everything = q.Filter(must_not=[q.Condition(is_null=q.IsNullCondition(key="nothing"))])
    payload = {"tag": q.Value(string_value="new")}
    selector = q.PointsSelector(filter=everything)
    ask = q.SetPayloadPoints(collection_name=kept, payload=payload, points_selector=selector, wait=True)
    place.client.points.SetPayload(ask)
    by_id = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=1), q.PointId(num=2)]))
    place.client.points.SetPayload(
        q.SetPayloadPoints(collection_name=kept, payload=payload, points_selector=by_id, wait=True)
    )
    first, second = place.stored(kept, 1, 2)
    assert first.payload["_p"].struct_value.fields["tag"] != second.payload["_p"].struct_value.fields["tag"]
    place.client.points.Delete(q.DeletePoints(collection_name=kept, points=selector, wait=True))
    assert at_rest(place, kept) == GONE


def test_one_that_is_written_anew_is_young_again(place: Guarded, kept: str) -> None:
    place.client.points.Upsert(q.UpsertPoints(collection_name=kept, points=[point(1, {})], wait=True))
    found = place.client.points.Scroll(q.ScrollPoints(collection_name=kept, limit=50)).result
    assert numbers(found) == sorted({*LEFT, 1})
    assert all(WRITTEN not in one.payload for one in found)


def swept(place: Guarded, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    policy = folder / "policy.yaml"
    policy.write_text(POLICY)
    command = [sys.executable, "-m", "vecguard", "retention", "sweep", "--upstream", f"qdrant://{place.engine.target}"]
    command += ["--key", f"file:{place.proxy.key_file}", "--policy", str(policy), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_sweep(place: Guarded, kept: str, tmp_path: Path) -> None:
    dry = swept(place, tmp_path, "--dry-run")
    assert f"{kept} (after 1h): 2 records would be deleted" in dry.stdout, dry.stderr
    assert at_rest(place, kept) == set(range(1, COUNT + 1))
    done = swept(place, tmp_path)
    assert done.returncode == 0
    assert at_rest(place, kept) == set(LEFT)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (event,) = [one for one in events if one["event"] == "retention" and one["collection"] == kept]
    assert (event["expired"], event["after"], event["status"]) == (2, "1h", "OK")
    info = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=kept)).result
    assert set(info.payload_schema) == {"tag"}  # the index that a sweep makes is nobody else's business


@pytest.mark.parametrize("clock", ["told", "dated"])
def test_age_by_a_field(place: Guarded, tmp_path: Path, clock: str) -> None:
    """Points 1 and 4 say that they are old; 2 says nothing and was written long ago; 3 says nothing."""
    now = time.time()

    def when(number: int) -> dict[str, q.Value]:
        moment = now - (OLD if number in GONE else 0)
        if number in (2, 3):
            return {}
        if clock == "told":
            return {"created": q.Value(integer_value=int(moment * 1000))}
        return {"created": q.Value(string_value=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment)))}

    name = f"{clock}-field"
    make(place, name, when)
    try:
        age(place, name, 2, 5)
        found = place.client.points.Scroll(q.ScrollPoints(collection_name=name, limit=50)).result
        assert numbers(found) == [3, 5, 6]
        assert f"{name} (after 1h): 3 records" in swept(place, tmp_path).stdout
        assert at_rest(place, name) == {3, 5, 6}
    finally:
        place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
        place.forget()


def test_a_collection_without_retention_is_as_it_was(place: Guarded, tmp_path: Path) -> None:
    name = "other-one"
    make(place, name, lambda number: {})
    try:
        assert WRITTEN not in place.stored(name, 1)[0].payload
        age(place, name, 1)
        assert numbers(place.client.points.Scroll(q.ScrollPoints(collection_name=name, limit=50)).result) == [
            *range(1, COUNT + 1)
        ]
        assert name not in swept(place, tmp_path).stdout
    finally:
        place.rest.collections.Delete(q.DeleteCollection(collection_name=name))
        place.forget()


def test_serve_sweeps_by_itself(tmp_path: Path) -> None:
    """With an event for the trail."""
    config = tmp_path / "settings.yaml"
    config.write_text("retention_sweep_s: 1\n")
    policy = 'version: 1\ncollections: [{match: "*", retention: 1s}]\n'
    with serving_proxy(tmp_path / "proxy", policy, arguments=["--config", str(config)]) as proxy:
        client = proxy.client()
        client.create_collection("c", vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
        client.upsert("c", [models.PointStruct(id=1, vector=[1, 2, 3, 4])], wait=True)
        deadline = time.monotonic() + 60
        while '"event":"retention"' not in proxy.logs and time.monotonic() < deadline:
            time.sleep(0.2)
        assert client.count("c").count == 0
        client.close()
    (event,) = [json.loads(line) for line in proxy.logs.splitlines() if '"event":"retention"' in line]
    assert (event["collection"], event["expired"]) == ("c", 1)
