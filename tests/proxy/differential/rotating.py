"""Collections in the midst of a key rotation: two key epochs live, and half of the points under each."""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc
from qdrant_client import grpc as pb
from qdrant_client import models
from serving import Proxy

from vecguard.catalog import MAX_AGE_S
from vecguard.front.qdrant import metadata as meta
from vecguard.keys.file import FileKeyProvider
from vecguard.manifest import open_core, open_vector
from vecguard.seal import record
from vecguard.seal.envelope import epoch_of

from . import library
from .sides import Side


def begin(server: Proxy, collections: Sequence[str]) -> None:
    """Make a new epoch the current one in manifests at rest, and wait until the proxy knows."""
    assert server.key_file is not None
    provider = FileKeyProvider(server.key_file)
    with grpc.insecure_channel(server.engine_target) as channel:
        stub = pb.CollectionsStub(channel)
        for name in collections:
            stored = meta.stored_manifest(
                stub.Get(pb.GetCollectionInfoRequest(collection_name=name)).result.config.metadata
            )
            assert stored is not None
            manifest, ring = open_core(stored.core, provider)
            records = [open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()]
            manifest, ring = manifest.with_next_epoch(ring, provider)
            manifest, ring = manifest.with_newest_current(ring)
            stub.Update(pb.UpdateCollection(collection_name=name, metadata=meta.core_metadata(manifest, records, ring)))
    time.sleep(MAX_AGE_S + 0.2)


def write_half(on: Side, name: str, points: Sequence[models.PointStruct]) -> None:
    """Write every other point anew, so that it lies there under the new epoch."""
    on.client.upsert(name, [point for i, point in enumerate(points) if i % 2], wait=True)


def epochs_of(server: Proxy, name: str) -> list[int]:
    """How many epochs' heads stand in the record of each point (of its first vector), for a check that both are met."""
    with grpc.insecure_channel(server.engine_target) as channel:
        ask = pb.ScrollPoints(collection_name=name, limit=1_000)
        ask.with_payload.include.fields.append("_vg")
        found = pb.PointsStub(channel).Scroll(ask).result
    entries = [record.decode(point.payload["_vg"].string_value).entries for point in found]
    return [epoch_of(next(iter(of_point.values()))) for of_point in entries]


def turn(server: Proxy, on: Side, distance: str) -> None:
    """Bring both populated collections of a side into the midst of a rotation."""
    kinds = {library.UNNAMED: library.unnamed_points(), library.NAMED: library.named_points()}
    names = {kind: on.name(f"{distance}-{kind}") for kind in kinds}
    begin(server, list(names.values()))
    for kind, points in kinds.items():
        write_half(on, names[kind], points)
        assert sorted(set(epochs_of(server, names[kind]))) == [1, 2]
