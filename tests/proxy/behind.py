"""The proxy with a recorder and a bare engine behind it: what a client asks, what is forwarded, what lies at rest.

Tests reach the engine's own face too, as a writer behind the proxy's back would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import pytest
from qdrant_client import grpc as q
from serving import MESSAGE_BYTES, Proxy, Server, serving_proxy

from proxy.recording import Recorder, recording
from vecguard.errors import Unreadable
from vecguard.front.qdrant import metadata as meta
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord, open_core, open_vector
from vecguard.policy.load import loads
from vecguard.shield import Shield

DATA_LOSS = Unreadable.TEXT
DIMS = 8
"""Dimensions of the vectors in these tests."""


class Face:
    """The services of Qdrant's API at one target."""

    def __init__(self, target: str) -> None:
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.max_send_message_length", MESSAGE_BYTES)]
        options.append(("grpc.use_local_subchannel_pool", 1))  # a connection of its own
        self.channel = grpc.insecure_channel(target, options=options)
        self.points = q.PointsStub(self.channel)
        self.collections = q.CollectionsStub(self.channel)
        self.snapshots = q.SnapshotsStub(self.channel)

    def raw(self, method: str, body: bytes) -> bytes:
        """A unary call in bytes."""
        answer: bytes = self.channel.unary_unary(method)(body)
        return answer


def refusal(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    """The status and text that a call is refused with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


@dataclass
class Guarded:
    """A proxy, the recorder behind it, and the engine behind that."""

    engine: Server
    recorder: Recorder
    proxy: Proxy
    client: Face
    """What clients see."""
    rest: Face
    """What lies in the database."""

    def refused(self, call: Callable[[], object], status: str, *texts: str) -> None:
        """Assert that a call is refused with `status`, saying `texts`, and that nothing of it was forwarded."""
        self.recorder.clear()
        code, details = refusal(call)
        assert (code.name, self.recorder.forwarded) == (status, []), details
        for text in texts:
            assert text in details

    def unreadable(self, call: Callable[[], object]) -> None:
        """Assert that a call gets DATA_LOSS with its one text, and that it wrote nothing."""
        self.recorder.clear()
        assert refusal(call) == (grpc.StatusCode.DATA_LOSS, DATA_LOSS)
        assert set(self.recorder.forwarded) <= READS

    def forget(self) -> None:
        """Have the proxy forget what it knows of collections."""
        self.client.collections.Delete(q.DeleteCollection(collection_name="open-nothing"))

    def metadata(self, collection: str) -> dict[str, str]:
        """A collection's metadata at rest."""
        ask = q.GetCollectionInfoRequest(collection_name=collection)
        kept = self.rest.collections.Get(ask).result.config.metadata
        return {key: value.string_value for key, value in kept.items()}

    def set_metadata(self, collection: str, changes: dict[str, q.Value | str | None]) -> None:
        """Change a collection's metadata at rest (None deletes a key), and have the proxy look again."""
        ask = q.UpdateCollection(collection_name=collection)
        for key, value in changes.items():
            if isinstance(value, q.Value):
                ask.metadata[key].CopyFrom(value)
            elif value is None:
                ask.metadata[key].null_value = q.NullValue.NULL_VALUE
            else:
                ask.metadata[key].string_value = value
        self.rest.collections.Update(ask)
        self.forget()

    def stored(self, collection: str, *ids: int) -> list[q.RetrievedPoint]:
        """Points as they lie at rest, with payload and vectors."""
        ask = q.GetPoints(collection_name=collection, ids=[q.PointId(num=number) for number in ids])
        ask.with_payload.enable = ask.with_vectors.enable = True
        found = {point.id.num: point for point in self.rest.points.Get(ask).result}
        return [found[number] for number in ids]

    def put(self, collection: str, number: int, payload: dict[str, q.Value], vectors: q.Vectors) -> None:
        """Write a whole point at rest, as it is."""
        point = q.PointStruct(id=q.PointId(num=number), payload=payload, vectors=vectors)
        self.rest.points.Upsert(q.UpsertPoints(collection_name=collection, points=[point], wait=True))


READS = frozenset(
    f"/qdrant.Points/{name}" for name in ("Get", "Scroll", "Query", "Count", "Facet", "SearchMatrixPairs")
)


@contextmanager
def guarded(engine: Server, folder: Path, policy: str | None, key_file: Path | None = None) -> Iterator[Guarded]:
    """A proxy with `policy` before a recorder before `engine`."""
    with ExitStack() as stack:
        recorder = stack.enter_context(recording(engine.target))
        upstream = f"qdrant://127.0.0.1:{recorder.port}"
        running = stack.enter_context(serving_proxy(folder, policy, upstream=upstream, key_file=key_file))
        faces = Face(running.target), Face(engine.target)
        for face in faces:
            stack.enter_context(face.channel)
        yield Guarded(engine, recorder, running, *faces)


def manifest_of(place: Guarded, collection: str) -> tuple[Manifest, KeyRing]:
    """A collection's manifest and keys, opened with the proxy's own key file."""
    assert place.proxy.key_file is not None
    return open_core(place.metadata(collection)[meta.CORE], FileKeyProvider(place.proxy.key_file))


def shield_of(place: Guarded, collection: str) -> Shield:
    """The protection of a collection, compiled in the test."""
    manifest, ring = manifest_of(place, collection)
    assert place.proxy.policy is not None
    policy = loads(place.proxy.policy.read_text()).collection(collection)
    assert policy is not None
    return Shield(manifest, ring, vectors_of(place, collection, manifest, ring), policy)


def vectors_of(place: Guarded, collection: str, manifest: Manifest, ring: KeyRing) -> dict[str, VectorRecord]:
    """What the manifest says of a collection's vectors, by name."""
    prefix = f"{meta.CORE}.vector."
    texts = {key.removeprefix(prefix): text for key, text in place.metadata(collection).items() if prefix in key}
    return {name: open_vector(name, text, manifest, ring) for name, text in texts.items()}


def dense(values: object) -> q.Vector:
    """A dense vector's message."""
    return q.Vector(dense=q.DenseVector(data=np.asarray(values, np.float32).tolist()))


def unnamed(values: object) -> q.Vectors:
    """The vectors of a point with one unnamed dense vector."""
    return q.Vectors(vector=dense(values))
