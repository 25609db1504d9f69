"""Data-key rotation of a Qdrant collection: under concurrent clients, with the job killed at random points."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message
from meanwhile import Meanwhile
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from serving import MESSAGE_BYTES, Proxy, serving_proxy

from proxy.behind import DIMS, Guarded, manifest_of, refusal, vectors_of
from proxy.conftest import payload, vectors
from vecguard.front.qdrant.reprotect import reprotect
from vecguard.front.rotation import Moved
from vecguard.keys.file import FileKeyProvider
from vecguard.model import Caller
from vecguard.seal import record
from vecguard.seal.envelope import epoch_of
from vecguard.shield import Shield
from vecguard.upkeep.access import as_made
from vecguard.upstream import Answer, Upstream

POLICY = """
version: 1
access: {anonymous: [read, write, admin]}
collections:
  - match: "*"
    vectors: [{rerank: {certainty: 4}}]
    payload: {default: sealed, fields: {kind: searchable, n: plain}}
"""
QUICK = ("--settle", "2.2")


def rotate_command(proxy: Proxy, name: str, *more: str, upstream: str | None = None) -> list[str]:
    assert proxy.key_file is not None
    command = [sys.executable, "-m", "vecguard", "keys", "rotate", name, "--key", f"file:{proxy.key_file}"]
    return [*command, "--upstream", upstream or f"embedded:{proxy.data}", *more]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_every_kind_of_content_is_brought_over(place: Guarded, collection: str) -> None:
    """All kinds of vectors, one updated alone, fields of each mode at each depth, unbound values, metadata."""
    update = q.PointVectors(id=q.PointId(num=1), vectors=vectors(9))
    place.client.points.UpdateVectors(q.UpdatePointVectors(collection_name=collection, points=[update], wait=True))
    everything = q.PointsSelector(filter=q.Filter())
    unbound = {"late": q.Value(string_value="by filter"), "list": list_of("a", "b", None)}
    place.client.points.SetPayload(
        q.SetPayloadPoints(collection_name=collection, payload=unbound, points_selector=everything, wait=True)
    )
    owner = {"owner": q.Value(string_value="me")}
    place.client.collections.Update(q.UpdateCollection(collection_name=collection, metadata=owner))
    before, was = read(place, collection), place.stored(collection, 1, 2)
    upstream = f"qdrant://{place.engine.target}"
    done = run(rotate_command(place.proxy, collection, *QUICK, upstream=upstream))
    assert done.returncode == 0, done.stderr
    manifest, ring = manifest_of(place, collection)
    assert (manifest.epochs.keys(), ring.epochs) == ({2}, (2,))
    now = place.stored(collection, 1, 2)
    place.forget()
    assert alike(read(place, collection), before)
    info = place.client.collections.Get(q.GetCollectionInfoRequest(collection_name=collection)).result
    assert dict(info.config.metadata) == owner
    for old, new in zip(was, now, strict=True):
        entries = record.decode(new.payload["_vg"].string_value).entries
        assert {epoch_of(entry) for entry in entries.values()} == {2}
        assert not new.payload["_vgn"].struct_value.fields
        assert not texts(old.payload["_p"]) & texts(new.payload["_p"])
        assert old.payload["_p"].struct_value.fields["open"] == new.payload["_p"].struct_value.fields["open"]


@pytest.mark.slow
def test_what_was_kept_from_before_a_rotation_does_not_open(place: Guarded, collection: str) -> None:
    """A record that is put back within its epoch opens, as docs/adr/rollback.md says; after a rotation it does not."""
    (old,), first = place.stored(collection, 1), read(place, collection)
    kept = q.Vectors()
    for name, output in old.vectors.vectors.vectors.items():
        kept.vectors.vectors[name].MergeFromString(output.SerializeToString())
    newer = q.SetPayloadPoints(
        collection_name=collection,
        payload={"note": q.Value(string_value="newer")},
        points_selector=q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=1)])),
        wait=True,
    )
    place.client.points.SetPayload(newer)
    assert not alike(read(place, collection), first)
    place.put(collection, 1, dict(old.payload), kept)
    assert alike(read(place, collection), first)
    done = run(rotate_command(place.proxy, collection, *QUICK, upstream=f"qdrant://{place.engine.target}"))
    assert done.returncode == 0, done.stderr
    place.forget()
    assert alike(read(place, collection), first)
    place.put(collection, 1, dict(old.payload), kept)
    assert refusal(lambda: read(place, collection))[0] is grpc.StatusCode.DATA_LOSS


def list_of(*items: str | None) -> q.Value:
    values = [q.Value(null_value=q.NullValue.NULL_VALUE) if i is None else q.Value(string_value=i) for i in items]
    return q.Value(list_value=q.ListValue(values=values))


def texts(value: q.Value) -> set[str]:
    """All sealed texts in a stored value."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return set().union(*(texts(inner) for inner in value.struct_value.fields.values()))
    if kind == "list_value":
        return set().union(*(texts(inner) for inner in value.list_value.values))
    return {value.string_value} if value.string_value.startswith("vg:") else set()


def read(place: Guarded, name: str) -> list[q.RetrievedPoint]:
    ask = q.ScrollPoints(collection_name=name, limit=100)
    ask.with_payload.enable = ask.with_vectors.enable = True
    return list(place.client.points.Scroll(ask).result)


def alike(found: list[q.RetrievedPoint], expected: list[q.RetrievedPoint]) -> bool:
    """Ids and payloads are equal, dense vectors but for rounding."""
    for one, other in zip(found, expected, strict=True):
        dense = [np.array(p.vectors.vectors.vectors["d"].dense.data) for p in (one, other)]
        sparse = [p.vectors.vectors.vectors["s"].sparse for p in (one, other)]
        if one.id != other.id or dict(one.payload) != dict(other.payload) or sparse[0] != sparse[1]:
            return False
        if not np.allclose(*dense, atol=1e-4):
            return False
    return True


class DeletingFirst(Upstream):
    """The database, in which a client deletes point 1 just before the first batch of updates arrives."""

    def __init__(self, target: str, name: str) -> None:
        super().__init__(target, max_message_bytes=MESSAGE_BYTES)
        self.batches = 0
        self._name = name

    async def call(self, rpc: str, request: Message, answer: type[Answer], caller: Caller) -> Answer:
        if rpc == "/qdrant.Points/UpdateBatch":
            self.batches += 1
            if self.batches == 1:
                one = q.DeletePoints(collection_name=self._name, wait=True)
                one.points.points.ids.append(q.PointId(num=1))
                await super().call("/qdrant.Points/Delete", one, q.PointsOperationResponse, caller)
        return await super().call(rpc, request, answer, caller)


def test_a_point_that_is_deleted_while_it_is_moved_keeps_no_other(place: Guarded, collection: str) -> None:
    assert place.proxy.key_file is not None
    manifest, ring = manifest_of(place, collection)
    kept = vectors_of(place, collection, manifest, ring)
    manifest, ring = manifest.with_next_epoch(ring, FileKeyProvider(place.proxy.key_file))
    manifest, ring = manifest.with_newest_current(ring)
    new = Shield(manifest, ring, kept, as_made(manifest, kept))

    async def passes() -> tuple[int, list[Moved]]:
        upstream = DeletingFirst(place.engine.target, collection)
        try:
            steps = [[step async for step in reprotect(upstream, collection, new)] for _ in range(2)]
            return upstream.batches, [step for steps_of in steps for step in steps_of]
        finally:
            await upstream.close()

    batches, (first, second) = asyncio.run(passes())
    assert (first.looked, first.stale, first.unreadable) == (2, 2, ())
    assert batches == 2  # point 1 was gone when it was read anew, point 2 went alone
    assert (second.looked, second.stale) == (1, 0)
    (moved,) = place.stored(collection, 2)
    assert {epoch_of(entry) for entry in record.decode(moved.payload["_vg"].string_value).entries.values()} == {2}


@pytest.mark.slow
def test_what_cannot_be_rotated_is_refused_and_left_as_it_is(place: Guarded, collection: str) -> None:
    upstream = f"qdrant://{place.engine.target}"
    lost = f"lost-{collection}"
    params = q.VectorParams(size=DIMS, distance=q.Distance.Cosine)
    place.client.collections.Create(
        q.CreateCollection(collection_name=lost, vectors_config=q.VectorsConfig(params=params))
    )
    refused = run(rotate_command(place.proxy, lost, *QUICK, upstream=upstream))
    assert (refused.returncode, "recover: none" in refused.stderr) == (1, True)
    place.client.collections.Delete(q.DeleteCollection(collection_name=lost))
    # A record that was altered behind the proxy's back cannot be read, so the old key is kept.
    altered = place.stored(collection, 2)[0]
    altered.payload["_p"].struct_value.fields["shut"].string_value = "vg:AAAA"
    ask = q.SetPayloadPoints(collection_name=collection, payload=altered.payload, wait=True)
    ask.points_selector.points.ids.append(q.PointId(num=2))
    place.rest.points.SetPayload(ask)
    stopped = run(rotate_command(place.proxy, collection, *QUICK, upstream=upstream))
    assert (stopped.returncode, "do not open" in stopped.stderr) == (1, True), stopped.stderr
    manifest, _ = manifest_of(place, collection)
    assert (sorted(manifest.epochs), manifest.current) == ([1, 2], 2)
    # Once it is written anew, the rotation goes on to its end.
    place.forget()
    whole = q.PointStruct(id=q.PointId(num=2), vectors=vectors(2), payload=payload(2))
    place.client.points.Upsert(q.UpsertPoints(collection_name=collection, points=[whole], wait=True))
    done = run(rotate_command(place.proxy, collection, *QUICK, upstream=upstream))
    assert done.returncode == 0, done.stderr
    assert sorted(manifest_of(place, collection)[0].epochs) == [2]


# -- under concurrent clients ------------------------------------------------------------------------------------------

COUNT, SIZE = 1_200, 64
_rng = np.random.default_rng(11)
X = _rng.normal(size=(COUNT + 400, SIZE)).astype(np.float32)
X /= np.linalg.norm(X, axis=1, keepdims=True)


class Clients(Meanwhile):
    """Clients that write and search a collection until they are told to stop, and know what must be there then.

    Each client has points of its own, so that the last acknowledged write is the truth.
    """

    def __init__(self, proxy: Proxy, name: str) -> None:
        self.proxy = proxy
        self.name = name
        self.expected: dict[int, tuple[int, str]] = {}
        """Row of `X` and note of each point that must be there, by id."""
        self.recalls: list[float] = []
        self.failures: list[str] = []
        super().__init__(*(partial(self._write, part) for part in range(3)), self._search)

    def _write(self, part: int) -> None:
        draw, client = random.Random(part), self.proxy.client()
        own = [number for number in range(COUNT + 300) if number % 3 == part and number % 2]
        with contextlib.closing(client):
            while not self._stop.is_set():
                try:
                    self._one_write(draw, client, draw.choice(own))
                except Exception as failure:  # noqa: BLE001 - told at the end, whatever it is
                    self.failures.append(repr(failure))
                time.sleep(0.01)

    def _one_write(self, draw: random.Random, client: QdrantClient, number: int) -> None:
        kind = draw.choice(["upsert", "delete", "payload", "vector"])
        if kind == "upsert" or number not in self.expected:
            row, note = draw.randrange(len(X)), f"note {draw.random()}"
            client.upsert(self.name, [point(number, row, note)], wait=True)
            self.expected[number] = row, note
        elif kind == "delete":
            client.delete(self.name, [number], wait=True)
            del self.expected[number]
        elif kind == "payload":
            row, note = self.expected[number][0], f"note {draw.random()}"
            client.set_payload(self.name, {"note": note}, [number], wait=True)
            self.expected[number] = row, note
        else:
            row, note = draw.randrange(len(X)), self.expected[number][1]
            client.update_vectors(self.name, [models.PointVectors(id=number, vector=X[row].tolist())], wait=True)
            self.expected[number] = row, note

    def _search(self) -> None:
        """Among the points that nobody writes: even ids."""
        draw, client = random.Random(9), self.proxy.client()
        still = models.Filter(must=[models.FieldCondition(key="kind", match=models.MatchValue(value="still"))])
        even = np.arange(0, COUNT, 2)
        with contextlib.closing(client):
            while not self._stop.is_set():
                query = X[draw.randrange(COUNT)] + 0.1 * _rng.normal(size=SIZE).astype(np.float32)
                found = client.query_points(self.name, query=query.tolist(), limit=10, query_filter=still).points
                best = set(even[np.argsort(-(X[even] @ query))[:10]].tolist())
                self.recalls.append(len(best & {hit.id for hit in found}) / 10)
                time.sleep(0.02)


def point(number: int, row: int, note: str) -> models.PointStruct:
    fields = {"note": note, "kind": "moving" if number % 2 else "still", "n": number, "deep": {"a": [note, 1.5]}}
    return models.PointStruct(id=number, vector=X[row].tolist(), payload=fields)


def everything(client: QdrantClient, name: str) -> dict[int, models.Record]:
    found, offset = {}, None
    while True:
        page, offset = client.scroll(name, limit=500, offset=offset, with_vectors=True)
        for record_ in page:
            assert record_.id not in found
            found[int(record_.id)] = record_
        if offset is None:
            return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nothing_is_lost_under_writes_searches_and_kills(tmp_path: Path) -> None:
    """Two workers serve, four clients write and search, the job is killed again and again."""
    arguments = ("--workers", "2")
    with serving_proxy(tmp_path, POLICY, arguments=arguments) as proxy, contextlib.closing(proxy.client()) as client:
        name, draw = "turning", random.Random(4)
        client.create_collection(name, vectors_config=models.VectorParams(size=SIZE, distance=models.Distance.COSINE))
        points = [point(number, number, f"note {number}") for number in range(COUNT)]
        for start in range(0, COUNT, 300):
            client.upsert(name, points[start : start + 300], wait=True)
        with Clients(proxy, name) as clients:
            clients.expected.update({number: (number, f"note {number}") for number in range(1, COUNT, 2)})
            for _ in range(4):
                job = subprocess.Popen(
                    rotate_command(proxy, name, *QUICK), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                time.sleep(draw.uniform(4.0, 9.0))
                job.send_signal(signal.SIGKILL)
                job.wait()
            done = run(rotate_command(proxy, name, *QUICK))
            assert done.returncode == 0, done.stderr
        assert clients.failures == []
        assert len(clients.recalls) > 20
        assert np.mean(clients.recalls) >= 0.99
        found = everything(client, name)
        wanted = {number: (number, f"note {number}") for number in range(0, COUNT, 2)} | clients.expected
        assert set(found) == set(wanted)
        for number, (row, note) in wanted.items():
            assert found[number].payload is not None
            assert found[number].payload["note"] == note, number
            assert np.allclose(found[number].vector, X[row], atol=1e-3), number
