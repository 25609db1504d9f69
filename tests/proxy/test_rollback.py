"""`rollback: detect`: a record, or a part of one, that somebody behind the proxy put back is never served as good."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Set
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import redis as store
from qdrant_client import grpc as q
from redis_server import RedisServer, redis_server
from serving import Proxy, Server, serving_proxy
from typer.testing import CliRunner

from proxy.behind import DIMS, Face, Guarded, refusal, unnamed
from proxy.conftest import create, payload, vectors
from proxy.processes import until
from proxy.recording import recording
from vecguard.cli import app
from vecguard.config import load_settings
from vecguard.errors import Unreadable
from vecguard.fresh.guard import MARGIN_MS
from vecguard.front.qdrant import vectors as wire
from vecguard.keys.file import FileKeyProvider
from vecguard.upkeep.access import open_database
from vecguard.upkeep.retention import sweep
from vecguard.upkeep.rotate import rotate

POLICY = """
version: 1
collections:
  - match: "drop-*"
    integrity: {damaged: drop, rollback: detect}
    payload: &modes {default: sealed, fields: {open: plain, tag: searchable, meta.open: plain, meta.tag: searchable}}
  - match: "kept-*"
    integrity: {rollback: detect}
    retention: 90d
    payload: *modes
  - match: "hidden-*"
    integrity: {rollback: detect}
    ids: encrypted
    payload:
      default: sealed
      fields: {open: plain, tag: searchable, meta.open: plain, meta.tag: searchable}
      hash_names: true
  - match: "keyed-*"
    integrity: {rollback: detect}
    tenant_keys: {field: open}
    payload: *modes
  - match: "trap-*"
    integrity: {rollback: detect}
    detection: {canaries: 8}
  - match: "late-*"
    integrity: fail
    payload: *modes
  - match: "box-*"
    integrity: {rollback: detect}
    payload: *modes
"""
PAST_S = MARGIN_MS / 1e3 + 0.3
"""What was superseded so long ago is told from what is read now."""
_names = itertools.count()
EVERY = [q.PointId(num=number) for number in range(1, 7)]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def replicas(engine: Server, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Guarded]]:
    """Two proxies, each with a recorder of its own behind it, before one engine and one store."""
    folder = tmp_path_factory.mktemp("rollback")
    settings, key = folder / "settings.yaml", folder / "shared.key"
    settings.write_text(f"workers: 1\nstate: {{url: '{redis.url}', timeout_s: 5}}\n")
    FileKeyProvider.create(str(key), {})
    with ExitStack() as stack:
        yield [stack.enter_context(Replica(engine, folder / name, settings, key)) for name in ("one", "two")]


class Replica(ExitStack):
    """A proxy before a recorder before the engine."""

    def __init__(self, engine: Server, folder: Path, settings: Path, key: Path, policy: str = POLICY) -> None:
        super().__init__()
        self.given = engine, folder, settings, key, policy

    def __enter__(self) -> Guarded:  # type: ignore[override]
        engine, folder, settings, key, policy = self.given
        super().__enter__()
        recorder = self.enter_context(recording(engine.target))
        upstream, arguments = f"qdrant://127.0.0.1:{recorder.port}", ("--config", str(settings))
        proxy: Proxy = self.enter_context(
            serving_proxy(folder, policy, upstream=upstream, key_file=key, arguments=arguments)
        )
        faces = Face(proxy.target), Face(engine.target)
        for face in faces:
            self.enter_context(face.channel)
        return Guarded(engine, recorder, proxy, *faces)


@pytest.fixture
def place(replicas: list[Guarded]) -> Guarded:
    return replicas[0]


@pytest.fixture(params=["box", "hidden", "kept"])
def name(request: pytest.FixtureRequest, place: Guarded) -> Iterator[str]:
    """A collection with points 1 to 6."""
    with made(place, request.param) as name:
        yield name


@pytest.fixture
def box(place: Guarded) -> Iterator[str]:
    with made(place, "box") as name:
        yield name


@pytest.fixture
def drop(place: Guarded) -> Iterator[str]:
    with made(place, "drop") as name:
        yield name


@contextmanager
def made(place: Guarded, kind: str) -> Iterator[str]:
    name = f"{kind}-rollback-{next(_names)}"
    if kind == "trap":
        params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
        place.client.collections.Create(
            q.CreateCollection(collection_name=name, vectors_config=q.VectorsConfig(params=params))
        )
    else:
        create(place, name)
        upsert(place, name, *range(3, 7))
    yield name
    place.client.collections.Delete(q.DeleteCollection(collection_name=name))


def upsert(place: Guarded, name: str, *numbers: int, seed: int = 0) -> None:
    points = [q.PointStruct(id=q.PointId(num=i), vectors=vectors(i + seed), payload=payload(i + seed)) for i in numbers]
    place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points))


def picked(*numbers: int) -> q.PointsSelector:
    return q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=number) for number in numbers]))


def by_tag(number: int) -> q.Filter:
    """The filter for points with the searchable text of this number."""
    match = q.Match(keyword=f"number {number}")
    return q.Filter(must=[q.Condition(field=q.FieldCondition(key="tag", match=match))])


def reads(place: Guarded, name: str) -> dict[str, Callable[[], set[int]]]:
    """Reads of every kind, each of all points; the ids that they answer."""
    points = place.client.points
    row = [float((7 + i * i) % 11) for i in range(DIMS)]

    def asked(ask: Any, part: str) -> Any:
        if part == "all":
            ask.with_payload.enable = ask.with_vectors.enable = True
        elif part == "ids":
            ask.with_payload.enable = False
        else:
            ask.with_payload.include.fields.append("meta.shut")
        return ask

    def searched(part: str) -> q.QueryPoints:
        ask = asked(q.QueryPoints(collection_name=name, limit=20, using="d"), part)
        ask.query.nearest.dense.data.extend(row)
        return ask

    def sparse() -> q.QueryPoints:
        ask = asked(q.QueryPoints(collection_name=name, limit=20, using="s"), "all")
        sought = q.SparseVector(indices=[*range(1, 120)], values=[1.0] * 119)
        ask.query.nearest.sparse.CopyFrom(sought)
        return ask

    def fused() -> q.QueryPoints:
        ask = asked(q.QueryPoints(collection_name=name, limit=20), "all")
        ask.prefetch.append(q.PrefetchQuery(query=searched("ids").query, using="d", limit=20))
        ask.prefetch.append(q.PrefetchQuery(query=sparse().query, using="s", limit=20))
        ask.query.fusion = q.Fusion.RRF
        return ask

    ids: Callable[[Any], set[int]] = lambda answer: {point.id.num for point in answer.result}  # noqa: E731
    kinds: dict[str, Callable[[], set[int]]] = {}
    for part in ("all", "ids", "some"):
        kinds[f"get {part}"] = lambda part=part: ids(
            points.Get(asked(q.GetPoints(collection_name=name, ids=EVERY), part))
        )  # type: ignore[misc]
        kinds[f"scroll {part}"] = lambda part=part: ids(
            points.Scroll(asked(q.ScrollPoints(collection_name=name, limit=20), part))
        )  # type: ignore[misc]
        kinds[f"search {part}"] = lambda part=part: ids(points.Query(searched(part)))  # type: ignore[misc]
    kinds["sparse"] = lambda: ids(points.Query(sparse()))
    kinds["fused"] = lambda: ids(points.Query(fused()))
    return kinds


def all_read(place: Guarded, name: str) -> dict[str, set[int]]:
    return {kind: read() for kind, read in reads(place, name).items()}


def told_by_all(place: Guarded, name: str, *, but: tuple[str, ...] = ()) -> None:
    """Every read that meets the point fails."""
    assert {kind: status(read) for kind, read in reads(place, name).items() if kind not in but} == {
        kind: "DATA_LOSS" for kind in reads(place, name) if kind not in but
    }


def status(call: Callable[[], object]) -> str:
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


def test_what_is_the_newest_is_read(place: Guarded, name: str) -> None:
    everything = set(range(1, 7))
    for kind, found in all_read(place, name).items():
        assert found == everything, kind
    upsert(place, name, 1, 2, seed=50)
    for kind, found in all_read(place, name).items():
        assert found == everything, kind


def at_rest(place: Guarded, name: str) -> dict[int, q.RetrievedPoint]:
    """All points as they lie in the database, by the ids there."""
    ask = q.ScrollPoints(collection_name=name, limit=100)
    ask.with_payload.enable = ask.with_vectors.enable = True
    return {point.id.num: point for point in place.rest.points.Scroll(ask).result}


def raw(point: q.RetrievedPoint) -> tuple[dict[str, q.Value], q.Vectors]:
    held = q.Vectors()
    for key, output in point.vectors.vectors.vectors.items():
        wire._fill_oneof(held.vectors.vectors[key], wire.read(output))
    return dict(point.payload), held


def put_back(place: Guarded, name: str, before: dict[int, q.RetrievedPoint]) -> None:
    """Bring the points that changed since, or went, to what they were; behind the proxies' back."""
    time.sleep(PAST_S)
    now = at_rest(place, name)
    changed = [number for number, point in before.items() if number not in now or now[number] != point]
    assert changed
    for number in changed:
        place.put(name, number, *raw(before[number]))


def sound(place: Guarded, name: str, ids: Set[int] = frozenset(range(1, 7)), *, but: str = "nothing") -> None:
    for kind, found in all_read(place, name).items():
        assert found == ids or but in kind, kind


@pytest.mark.slow
def test_a_whole_record_put_back(replicas: list[Guarded], name: str) -> None:
    one, two = replicas
    before = at_rest(one, name)
    upsert(one, name, 1, seed=20)
    sound(two, name)
    put_back(one, name, before)
    for place in replicas:
        told_by_all(place, name)
    upsert(two, name, 1, seed=40)  # written anew, it is the newest again
    sound(one, name)


@pytest.mark.slow
def test_a_deleted_record_put_back(place: Guarded, name: str) -> None:
    before = at_rest(place, name)
    place.client.points.Delete(q.DeletePoints(collection_name=name, points=picked(2)))
    sound(place, name, {1, 3, 4, 5, 6})
    put_back(place, name, before)
    told_by_all(place, name)
    place.client.points.Delete(q.DeletePoints(collection_name=name, points=picked(2)))
    sound(place, name, {1, 3, 4, 5, 6})


Write = Callable[[Guarded, str], object]


def set_payload(fields: dict[str, q.Value], key: str | None = None, rpc: str = "SetPayload") -> Write:
    def write(place: Guarded, name: str) -> object:
        ask = q.SetPayloadPoints(collection_name=name, payload=fields, points_selector=picked(3))
        if key is not None:
            ask.key = key
        return getattr(place.client.points, rpc)(ask)

    return write


def text(value: str) -> q.Value:
    return q.Value(string_value=value)


def delete_keys(*keys: str) -> Write:
    return lambda place, name: place.client.points.DeletePayload(
        q.DeletePayloadPoints(collection_name=name, keys=keys, points_selector=picked(3))
    )


def clear(place: Guarded, name: str) -> object:
    return place.client.points.ClearPayload(q.ClearPayloadPoints(collection_name=name, points=picked(3)))


def update_vectors(place: Guarded, name: str) -> object:
    moved = q.Vectors(vectors=q.NamedVectors(vectors={"d": vectors(70).vectors.vectors["d"]}))
    point = q.PointVectors(id=q.PointId(num=3), vectors=moved)
    return place.client.points.UpdateVectors(q.UpdatePointVectors(collection_name=name, points=[point]))


def delete_vectors(place: Guarded, name: str) -> object:
    return place.client.points.DeleteVectors(
        q.DeletePointVectors(collection_name=name, points_selector=picked(3), vectors=q.VectorsSelector(names=["m"]))
    )


def by_filter(place: Guarded, name: str) -> object:
    selected = q.PointsSelector(filter=by_tag(3))
    ask = q.SetPayloadPoints(collection_name=name, payload={"shut": text("new")}, points_selector=selected)
    return place.client.points.SetPayload(ask)


def overwrite(place: Guarded, name: str) -> object:
    return set_payload(
        {"open": text("only"), "list": q.Value(list_value=q.ListValue(values=[text("a")]))}, rpc="OverwritePayload"
    )(place, name)


PAYLOAD_WRITES: dict[str, Write] = {
    "a sealed field": set_payload({"shut": text("newer")}),
    "a searchable field": set_payload({"tag": text("newer")}),
    "a plain field": set_payload({"open": text("newer"), "n": q.Value(double_value=2.5)}),
    "a field that was not there": set_payload({"more": text("newer")}),
    "a map that becomes a text": set_payload({"meta": text("newer")}),
    "a field below another": set_payload({"shut": text("newer"), "deep": text("newer")}, key="meta"),
    "a text that becomes a map": set_payload({"deep": text("newer")}, key="note"),
    "null": set_payload({"shut": q.Value(null_value=q.NullValue.NULL_VALUE)}),
    "the whole payload": overwrite,
    "a deleted field": delete_keys("shut"),
    "a deleted map": delete_keys("meta"),
    "deleted fields below another": delete_keys("meta.shut", "meta.open"),
    "a cleared payload": clear,
    "by filter": by_filter,
}


@pytest.mark.slow
@pytest.mark.parametrize("write", PAYLOAD_WRITES.values(), ids=PAYLOAD_WRITES)
@pytest.mark.parametrize("kind", ["box", "hidden"])
def test_a_part_of_a_payload_put_back(place: Guarded, kind: str, write: Write) -> None:
    with made(place, kind) as name:
        before = at_rest(place, name)
        write(place, name)
        sound(place, name)
        put_back(place, name, before)
        told_by_all(place, name)
        upsert(place, name, 3)
        sound(place, name)


@pytest.mark.parametrize("write", [update_vectors, delete_vectors])
def test_a_vector_put_back(place: Guarded, name: str, write: Write) -> None:
    """With its entry, as it was. Reads that open no vector do not see it, as nothing that they answer is older."""
    before = at_rest(place, name)
    write(place, name)
    sound(place, name)
    put_back(place, name, before)
    ask = q.GetPoints(collection_name=name, ids=[q.PointId(num=3)])
    ask.with_vectors.enable = True
    assert refusal(lambda: place.client.points.Get(ask))[0] == grpc.StatusCode.DATA_LOSS
    told_by_all(
        place,
        name,
        but=("get ids", "get some", "scroll ids", "scroll some", "search ids", "search some")
        if write is delete_vectors
        else ("get ids", "get some", "scroll ids", "scroll some"),
    )


def test_a_vector_of_a_whole_record_put_back(place: Guarded, box: str) -> None:
    """The vector and its entry of before, all else as it is."""
    before = raw(at_rest(place, box)[1])
    upsert(place, box, 1, seed=60)
    time.sleep(PAST_S)
    now_payload, now_vectors = raw(at_rest(place, box)[1])
    now_vectors.vectors.vectors["d"].CopyFrom(before[1].vectors.vectors["d"])
    place.put(box, 1, now_payload, now_vectors)
    assert refusal(reads(place, box)["get all"])[0] == grpc.StatusCode.DATA_LOSS
    now_payload["_vg"].CopyFrom(before[0]["_vg"])
    place.put(box, 1, now_payload, before[1])
    told_by_all(place, box)


def test_parts_of_two_times_are_told(place: Guarded, box: str) -> None:
    before = raw(at_rest(place, box)[1])
    upsert(place, box, 1, seed=60)
    time.sleep(PAST_S)
    now_payload, now_vectors = raw(at_rest(place, box)[1])
    now_payload["_p"].struct_value.fields["shut"].CopyFrom(before[0]["_p"].struct_value.fields["shut"])
    place.put(box, 1, now_payload, now_vectors)
    told_by_all(place, box)


def test_the_same_content_again_is_no_rollback(place: Guarded, box: str) -> None:
    """Searchable values and vectors are the same for the same content: what is there is what was written last."""
    for seed in (9, 30, 9):
        set_payload({"tag": text(f"t{seed}")})(place, box)
        update_vectors(place, box)
        upsert(place, box, 4, seed=seed)
    time.sleep(PAST_S)
    sound(place, box)


def test_deleted_by_filter(place: Guarded, box: str) -> None:
    before = at_rest(place, box)
    selected = q.PointsSelector(filter=by_tag(4))
    place.client.points.Delete(q.DeletePoints(collection_name=box, points=selected))
    sound(place, box, {1, 2, 3, 5, 6})
    put_back(place, box, before)
    told_by_all(place, box)


def test_a_batch_whose_filters_meet_what_it_wrote(place: Guarded, box: str) -> None:
    """The filter of a later operation selects a point that an earlier one put; a result for each."""
    point = q.PointStruct(id=q.PointId(num=7), vectors=vectors(7), payload=payload(7))
    operation = q.PointsUpdateOperation
    ask = q.UpdateBatchPoints(collection_name=box)
    ask.operations.append(operation(upsert=operation.PointStructList(points=[point])))
    selected = q.PointsSelector(filter=by_tag(7))
    ask.operations.append(
        operation(set_payload=operation.SetPayload(payload={"shut": text("x")}, points_selector=selected))
    )
    ask.operations.append(operation(delete_points=operation.DeletePoints(points=picked(6))))
    assert len(place.client.points.UpdateBatch(ask).result) == 3
    (found,) = [
        p for p in place.client.points.Scroll(q.ScrollPoints(collection_name=box, limit=20)).result if p.id.num == 7
    ]
    assert found.payload["shut"].string_value == "x"
    before = at_rest(place, box)
    upsert(place, box, 7)
    put_back(place, box, before)
    assert refusal(reads(place, box)["scroll all"])[0] == grpc.StatusCode.DATA_LOSS


@pytest.mark.slow
def test_what_a_filter_left_alone_stays_the_newest(place: Guarded, box: str) -> None:
    """A write under a condition that does not hold supersedes nothing."""
    point = q.PointStruct(id=q.PointId(num=1), vectors=vectors(80), payload=payload(80))
    ask = q.UpsertPoints(collection_name=box, points=[point], update_filter=by_tag(999))
    place.client.points.Upsert(ask)
    time.sleep(PAST_S)
    sound(place, box)
    ask.update_filter.CopyFrom(by_tag(1))
    before = at_rest(place, box)
    place.client.points.Upsert(ask)
    sound(place, box)
    put_back(place, box, before)
    told_by_all(place, box)


@pytest.mark.slow
def test_points_of_several_tenants_are_written_together(place: Guarded) -> None:
    """The same request is tried under each tenant's key, and applied once."""
    with made(place, "keyed") as name:
        before = at_rest(place, name)
        ask = q.SetPayloadPoints(collection_name=name, payload={"shut": text("x")}, points_selector=picked(1, 2, 3))
        place.client.points.SetPayload(ask)
        time.sleep(PAST_S)
        sound(place, name)
        put_back(place, name, before)
        told_by_all(place, name)


def test_a_batch_that_fails_on_its_way(place: Guarded, box: str) -> None:
    """What it did before stands, also where it would have written the same point again."""
    operation = q.PointsUpdateOperation
    ask = q.UpdateBatchPoints(collection_name=box)
    for seed, number in ((20, 1), (30, 1), (40, 99)):
        change = operation.SetPayload(payload={"shut": text(str(seed))}, points_selector=picked(number))
        ask.operations.append(operation(set_payload=change))
    with pytest.raises(grpc.RpcError):
        place.client.points.UpdateBatch(ask)
    time.sleep(PAST_S)
    sound(place, box)


@pytest.mark.slow
def test_modes_of_an_upsert(place: Guarded, box: str) -> None:
    """Only new points, or only those that are there: what is left alone stays the newest."""
    point = lambda i: q.PointStruct(id=q.PointId(num=i), vectors=vectors(i + 80), payload=payload(i + 80))  # noqa: E731
    before = at_rest(place, box)
    ask = q.UpsertPoints(collection_name=box, points=[point(1), point(8)], update_mode=q.UpdateMode.InsertOnly)
    place.client.points.Upsert(ask)
    ask = q.UpsertPoints(collection_name=box, points=[point(2), point(9)], update_mode=q.UpdateMode.UpdateOnly)
    place.client.points.Upsert(ask)
    time.sleep(PAST_S)
    ask = q.GetPoints(collection_name=box, ids=[q.PointId(num=number) for number in range(1, 10)])
    assert {found.id.num for found in place.client.points.Get(ask).result} == {*range(1, 7), 8}
    sound(place, box, {*range(1, 7)} | {8}, but="get")
    put_back(place, box, before)
    told_by_all(place, box)


def test_what_fails_supersedes_nothing(place: Guarded, box: str) -> None:
    ask = q.SetPayloadPoints(collection_name=box, payload={"shut": text("x")}, points_selector=picked(3, 99))
    with pytest.raises(grpc.RpcError):
        place.client.points.SetPayload(ask)
    time.sleep(PAST_S)
    sound(place, box)


def test_paths_into_lists_are_refused(place: Guarded, box: str) -> None:
    write = set_payload({"deep": text("x")}, key="meta.list[0]")
    code, details = refusal(lambda: write(place, box))
    assert (code, "meta.list[0]" in details, "whole list" in details) == (grpc.StatusCode.INVALID_ARGUMENT, True, True)
    set_payload({"deep": text("x")}, key='meta."odd[0]"')(place, box)
    sound(place, box)


def events(place: Guarded, name: str) -> list[dict[str, Any]]:
    """What the trail has told of records so far."""
    until(lambda: f'"collection":"{name}"' in place.proxy.logs)
    lines = [json.loads(line) for line in place.proxy.logs.splitlines() if '"event":"integrity"' in line]
    return [one for one in lines if one["collection"] == name]


def test_dropped_and_told(place: Guarded, drop: str) -> None:
    before = at_rest(place, drop)
    upsert(place, drop, 2, 5, seed=20)
    put_back(place, drop, before)
    sound(place, drop, {1, 3, 4, 6})
    first, *_ = events(place, drop)
    assert (set(first["ids"]), first["records"], first["rolled_back"], first["outcome"]) == ({"2", "5"}, 2, 2, "drop")


def test_the_memory_away(engine: Server, tmp_path: Path) -> None:
    """Nothing is read or written without it; counts, which carry no record, go on. When it is back, all goes on."""
    with redis_server(tmp_path / "redis") as own:
        settings, key = tmp_path / "settings.yaml", tmp_path / "own.key"
        settings.write_text(f"state: {{url: '{own.url}', timeout_s: 1, fail: local}}\n")
        FileKeyProvider.create(str(key), {})
        with Replica(engine, tmp_path / "proxy", settings, key) as place, made(place, "box") as box:
            sound(place, box)
            own.stop()
            for kind, read in reads(place, box).items():
                assert refusal(read)[0] == grpc.StatusCode.UNAVAILABLE, kind
            place.recorder.clear()
            assert refusal(lambda: upsert(place, box, 1))[0] == grpc.StatusCode.UNAVAILABLE
            assert "/qdrant.Points/Upsert" not in place.recorder.forwarded
            assert place.client.points.Count(q.CountPoints(collection_name=box)).result.count == 6
            own.start()
            until(lambda: _answers(lambda: upsert(place, box, 1)))
            sound(place, box)


def _answers(call: Callable[[], object]) -> bool:
    try:
        call()
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return True


@pytest.mark.slow
def test_adoption(engine: Server, redis: RedisServer, tmp_path: Path) -> None:
    """Of before, or whose memory was lost: refused in words until an operator takes what is there."""
    settings, key = tmp_path / "settings.yaml", tmp_path / "own.key"
    settings.write_text(f"state: {{url: '{redis.url}', timeout_s: 5, prefix: adoption}}\n")
    FileKeyProvider.create(str(key), {})
    asking = POLICY.replace("integrity: fail", "integrity: {rollback: detect}")

    def adopt() -> str:
        arguments = ["verify", name, "--adopt", "--config", str(settings), "--key", f"file:{key}"]
        arguments += ["--upstream", f"qdrant://{engine.target}"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.output

    with Replica(engine, tmp_path / "before", settings, key) as place:
        name = "late-adopted"
        create(place, name)
        upsert(place, name, *range(3, 7))
        old = at_rest(place, name)
        upsert(place, name, 1, seed=20)
    with Replica(engine, tmp_path / "after", settings, key, asking) as place:
        for call in (reads(place, name)["get all"], lambda: upsert(place, name, 2)):
            code, details = refusal(call)
            assert (code, f"vecguard verify {name} --adopt" in details) == (grpc.StatusCode.FAILED_PRECONDITION, True)
        assert f"6 records of `{name}` are the newest" in adopt()
        sound(place, name)
        upsert(place, name, 2, seed=20)
        sound(place, name)
        put_back(place, name, old)
        told_by_all(place, name)
        adopt()  # the operator has looked, and takes them
        sound(place, name)
        clear_store(redis, "adoption")
        code, details = refusal(reads(place, name)["get all"])
        assert code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.UNAVAILABLE), details
        until(lambda: refusal(reads(place, name)["get all"])[0] == grpc.StatusCode.FAILED_PRECONDITION)
        adopt()
        sound(place, name)
        place.client.collections.Delete(q.DeleteCollection(collection_name=name))


def clear_store(redis: RedisServer, prefix: str) -> None:
    with store.Redis(port=redis.port) as client:
        for found in client.scan_iter(f"{prefix}:*"):
            client.delete(found)


def test_nothing_is_in_clear_in_the_memory(place: Guarded, redis: RedisServer, box: str) -> None:
    set_payload({"open": text("words in clear")})(place, box)
    with store.Redis(port=redis.port) as client:
        held = b"".join(client.dump(key) or b"" for key in client.scan_iter("*"))
        texts = [b for key in client.scan_iter("*:f:*") for pair in client.hgetall(key).items() for b in pair]
    assert len(texts) == 14  # of six records and the collection
    for word in (b"words in clear", b"number", b"open", b"meta", box.encode()):
        assert word not in held
        assert not any(word in one for one in texts)


def test_a_policy_without_a_memory_is_refused(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    done = CliRunner().invoke(app, ["serve", "--policy", str(policy), "--upstream", f"embedded:{tmp_path / 'data'}"])
    assert done.exit_code == 1
    assert "collections[0].integrity" in done.output
    assert "state" in done.output


HAMMERED_S = 12.0


@pytest.fixture
def on_one_host(engine: Server, tmp_path: Path) -> Iterator[list[Guarded]]:
    """A proxy of two workers, which share a file; each face has a connection of its own."""
    settings, key = tmp_path / "settings.yaml", tmp_path / "own.key"
    settings.write_text(f"workers: 2\nrollback_memory: {tmp_path / 'newest.db'}\n")
    FileKeyProvider.create(str(key), {})
    with Replica(engine, tmp_path / "proxy", settings, key) as place, ExitStack() as stack:
        faces = [Face(place.proxy.target) for _ in range(4)]
        for face in faces:
            stack.enter_context(face.channel)
        yield [Guarded(engine, place.recorder, place.proxy, face, place.rest) for face in faces]


@pytest.mark.slow
def test_a_file_on_one_host(on_one_host: list[Guarded]) -> None:
    with made(on_one_host[0], "box") as name:
        before = at_rest(on_one_host[0], name)
        for number, place in enumerate(on_one_host):
            upsert(place, name, 1, seed=20 + number)
            for other in on_one_host:
                sound(other, name)
        put_back(on_one_host[0], name, before)
        for place in on_one_host:
            told_by_all(place, name)


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["replicas", "on_one_host"])
def test_many_writers_and_readers_raise_no_alarm(memory: str, request: pytest.FixtureRequest) -> None:
    """Clients of two proxies, or workers, write the same records in every way while others read them, in every way."""
    replicas: list[Guarded] = request.getfixturevalue(memory)
    failures: list[str] = []
    done = {"reads": 0, "writes": 0}
    with made(replicas[0], "box") as name:
        stop = time.monotonic() + HAMMERED_S

        def write(place: Guarded, seed: int) -> None:
            draw = random.Random(seed)
            acts: list[Callable[[int], object]] = [
                lambda i: upsert(place, name, i, draw.randint(1, 6), seed=draw.randint(0, 3)),
                lambda i: upsert(place, name, i, seed=draw.randint(0, 90)),
                lambda i: place.client.points.Delete(q.DeletePoints(collection_name=name, points=picked(i))),
                lambda i: place.client.points.SetPayload(
                    q.SetPayloadPoints(
                        collection_name=name,
                        payload={draw.choice(["shut", "tag", "open"]): text(str(draw.random()))},
                        points_selector=q.PointsSelector(filter=by_tag(i)),
                    )
                ),
                lambda i: place.client.points.OverwritePayload(
                    q.SetPayloadPoints(collection_name=name, payload=payload(i), points_selector=picked(i))
                ),
                lambda i: place.client.points.DeletePayload(
                    q.DeletePayloadPoints(collection_name=name, keys=["shut", "meta.tag"], points_selector=picked(i))
                ),
                lambda i: place.client.points.ClearPayload(
                    q.ClearPayloadPoints(collection_name=name, points=picked(i))
                ),
                lambda i: place.client.points.UpdateVectors(
                    q.UpdatePointVectors(
                        collection_name=name,
                        points=[q.PointVectors(id=q.PointId(num=i), vectors=vectors(draw.randint(1, 90)))],
                    )
                ),
                lambda i: place.client.points.Delete(
                    q.DeletePoints(collection_name=name, points=q.PointsSelector(filter=by_tag(i)))
                ),
            ]
            attempt(lambda: draw.choice(acts)(draw.randint(1, 6)), "writes")

        def read(place: Guarded, seed: int) -> None:
            kinds = reads(place, name)
            names = sorted(kinds)
            attempt(lambda: kinds[random.choice(names)](), "reads")  # noqa: PLW0108 - another one each time

        def attempt(act: Callable[[], object], kind: str) -> None:
            while time.monotonic() < stop:
                try:
                    act()
                except grpc.RpcError as error:
                    if error.code() != grpc.StatusCode.NOT_FOUND:  # the point was deleted
                        failures.append(f"{kind}: {error.code()} {error.details()}")
                done[kind] += 1

        work = [(write, seed) for seed in range(4)] + [(read, seed) for seed in range(4)]
        threads = [
            threading.Thread(target=act, args=(replicas[number % len(replicas)], seed))
            for number, (act, seed) in enumerate(work)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(PAST_S)
        assert failures == [], (len(failures), done)
        assert min(done.values()) > 50, done
        for place in replicas:
            all_read(place, name)


@pytest.mark.slow
def test_rotation_under_writes(replicas: list[Guarded], box: str) -> None:
    """A rotation's own writes are the newest; what it took away is not, and clients' writes beside it are not lost."""
    one, two = replicas
    before, stop, failures = at_rest(one, box), threading.Event(), list[str]()

    def write() -> None:
        draw = random.Random(3)
        while not stop.is_set():
            try:
                upsert(two, box, draw.randint(1, 6), seed=draw.randint(0, 90))
                update_vectors(two, box)
                set_payload({"shut": text(str(draw.random()))})(two, box)
                reads(one, box)["search all"]()
            except grpc.RpcError as error:
                failures.append(f"{error.code()} {error.details()}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        asyncio.run(rotated(one, box))
    finally:
        stop.set()
        writer.join()
    assert failures == []
    sound(one, box)
    after = at_rest(one, box)
    put_back(one, box, before)
    told_by_all(one, box, but=("sparse",))  # whose indices of before no query finds any more
    for number, point in after.items():
        one.put(box, number, *raw(point))
    sound(two, box)


async def rotated(place: Guarded, name: str) -> None:
    settings = load_settings(
        place.proxy.data.parent.parent / "settings.yaml",
        {
            "upstream": f"qdrant://{place.engine.target}",
            "key": f"file:{place.proxy.key_file}",
        },
    )
    async with open_database(settings) as database:
        async for _ in rotate(database, name):
            pass


def test_the_sweep_of_what_is_too_old(place: Guarded) -> None:
    with made(place, "kept") as name:
        before = at_rest(place, name)
        for number in (1, 2):  # as if they had been written long ago
            held, stored = raw(copy.deepcopy(before[number]))
            held["_vgt"].integer_value -= 100 * 86_400
            place.put(name, number, held, stored)
        sound(place, name, {3, 4, 5, 6})  # nobody sees them, so nobody is told
        asyncio.run(swept(place, name))
        assert set(at_rest(place, name)) == {3, 4, 5, 6}
        put_back(place, name, before)
        told_by_all(place, name)


async def swept(place: Guarded, name: str) -> None:
    file = place.proxy.data.parent.parent / "settings.yaml"
    settings = load_settings(
        file,
        {
            "upstream": f"qdrant://{place.engine.target}",
            "key": f"file:{place.proxy.key_file}",
            "policy": str(place.proxy.policy),
        },
    )
    done = {one.collection: one for one in await sweep(settings, None, lambda event, **fields: None, dry_run=False)}
    assert (done[name].expired, done[name].failure) == (2, "")


def test_verify_tells_older_records_and_how_many_are_missing(place: Guarded, box: str) -> None:
    def verify() -> tuple[int, dict[str, Any]]:
        folder = place.proxy.data.parent.parent
        arguments = ["verify", box, "--json", "--config", str(folder / "settings.yaml")]
        arguments += ["--key", f"file:{place.proxy.key_file}", "--upstream", f"qdrant://{place.engine.target}"]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code in (0, 2), (done.output, done.exception)
        return done.exit_code, json.loads(done.stdout)

    status, report = verify()
    assert (status, report["bad"], report["missing"], report["records"]) == (0, {}, 0, 6)
    before = at_rest(place, box)
    upsert(place, box, 1, seed=20)
    update_vectors(place, box)
    put_back(place, box, before)
    place.rest.points.Delete(q.DeletePoints(collection_name=box, points=picked(6), wait=True))
    status, report = verify()
    assert (status, report["bad"], report["missing"]) == (2, {"1": ["not the newest"], "3": ["vector `d`"]}, 1)


def test_an_older_vector_alone_is_told_as_such(place: Guarded, drop: str) -> None:
    before = at_rest(place, drop)
    update_vectors(place, drop)
    put_back(place, drop, before)
    assert reads(place, drop)["get all"]() == {1, 2, 4, 5, 6}
    (told,) = events(place, drop)
    assert (told["ids"], told["rolled_back"]) == (["3"], 1)


def test_a_deleted_collection_is_forgotten(place: Guarded, redis: RedisServer) -> None:
    with store.Redis(port=redis.port) as client:
        known = set(client.scan_iter("*:f:*"))
        with made(place, "box") as name:
            (own,) = set(client.scan_iter("*:f:*")) - known
        assert not client.exists(own)
        with made(place, "box") as name:
            sound(place, name)


def test_planted_records(place: Guarded) -> None:
    """They are written, looked at and taken away as any other."""
    with made(place, "trap") as name:
        points = [
            q.PointStruct(id=q.PointId(uuid=str(uuid.uuid4())), vectors=unnamed(row), payload={"a": text("b")})
            for row in np.random.default_rng(1).standard_normal((40, DIMS))
        ]
        place.client.points.Upsert(q.UpsertPoints(collection_name=name, points=points))
        arguments = ["--config", str(place.proxy.data.parent.parent / "settings.yaml"), "--upstream"]
        arguments += [f"qdrant://{place.engine.target}", "--key", f"file:{place.proxy.key_file}"]
        planted = CliRunner().invoke(app, ["canaries", "plant", name, *arguments, "--policy", str(place.proxy.policy)])
        assert planted.exit_code == 0, planted.output
        scroll = q.ScrollPoints(collection_name=name, limit=100)
        assert len(place.client.points.Scroll(scroll).result) == 40
        removed = CliRunner().invoke(app, ["canaries", "remove", name, *arguments])
        assert removed.exit_code == 0, removed.output
        assert len(place.client.points.Scroll(scroll).result) == 40


@pytest.mark.slow
def test_a_rotation_brings_no_older_record_to_the_new_key(place: Guarded, box: str) -> None:
    before = at_rest(place, box)
    upsert(place, box, 1, seed=20)
    put_back(place, box, before)
    with pytest.raises(Unreadable):
        asyncio.run(rotated(place, box))
    upsert(place, box, 1, seed=20)
    asyncio.run(rotated(place, box))
    sound(place, box)


def test_commands_that_write_need_the_memory(place: Guarded, box: str) -> None:
    """Behind it they would make the newest records look foreign."""
    keys = ["--upstream", f"qdrant://{place.engine.target}", "--key", f"file:{place.proxy.key_file}"]
    for command in (["keys", "rotate", box], ["canaries", "remove", box]):
        done = CliRunner().invoke(app, [*command, *keys])
        assert (done.exit_code, "--config" in done.output) == (1, True), done.output
    assert CliRunner().invoke(app, ["verify", box, *keys]).exit_code == 0
    shown = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=box)).result.config.metadata
    assert list(shown) == []
    sound(place, box)
