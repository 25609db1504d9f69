"""Bringing a protected collection of a Milvus server into the midst of a key rotation."""

from __future__ import annotations

import time
from collections.abc import Sequence

import grpc

from milvus.servers import MilvusServer
from vecguard.catalog import MAX_AGE_S
from vecguard.front.milvus import metadata as meta
from vecguard.front.milvus.proto import m, s
from vecguard.keys.provider import KeyProvider
from vecguard.manifest import open_core, open_vector
from vecguard.seal.declaration import open_declaration


def turn(behind: MilvusServer, provider: KeyProvider, collections: Sequence[str]) -> None:
    """Make a new epoch the current one in manifests at rest, and wait until a proxy knows."""
    with grpc.insecure_channel(behind.target) as channel:

        def call(name: str, message: object, answer: type) -> object:
            method = channel.unary_unary(f"/milvus.proto.milvus.MilvusService/{name}")
            return answer.FromString(method(message.SerializeToString()))

        for name in collections:
            ask = m.DescribeCollectionRequest(collection_name=name)
            described = call("DescribeCollection", ask, m.DescribeCollectionResponse)
            stored = meta.stored_manifest(described.properties, name)
            assert stored is not None
            assert stored.declared is not None
            manifest, ring = open_core(stored.core, provider)
            records = [open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()]
            declared = s.CollectionSchema.FromString(open_declaration(stored.declared, ring, manifest.uuid.bytes))
            manifest, ring = manifest.with_next_epoch(ring, provider)
            manifest, ring = manifest.with_newest_current(ring)
            texts = meta.manifest_properties(manifest, records, declared, ring)
            alter = m.AlterCollectionRequest(collection_name=name, properties=meta.pairs(texts))
            call("AlterCollection", alter, m.AlterCollectionRequest)
    time.sleep(MAX_AGE_S + 0.2)
