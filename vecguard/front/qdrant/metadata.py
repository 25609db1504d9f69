"""The collection metadata that Qdrant keeps for us: manifest, vectors' records, keys, indexes as declared.

Our keys are `_vg` (the manifest's core), `_vg.vector.<name>` (a vector's record), `_vg.tenant.<number>` (a tenant's
key), `_vg.index.<path>` (a payload index) and `_vg.newest` (see `NEWEST`). Clients never see them; a client's own
metadata is sealed leaf by leaf, keys excepted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, MutableMapping
from typing import Final

from google.protobuf.message import DecodeError
from qdrant_client import grpc as q

from vecguard.catalog import StoredManifest
from vecguard.errors import InvalidArgument, Unreadable, UpstreamFailure
from vecguard.fields import Fields
from vecguard.front.qdrant.payloads import protect_map, reveal_map
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord, pack_core, pack_vector
from vecguard.model import Caller
from vecguard.upstream import Upstream

CORE: Final = "_vg"
_VECTOR: Final = "_vg.vector."
INDEX: Final = "_vg.index."
_TENANT: Final = "_vg.tenant."
NEWEST: Final = "_vg.newest"
"""Says to commands that it is remembered elsewhere which records are the newest. It authenticates nothing."""
# Where a client's metadata stands among the sealed paths; no payload path of a policy can name it by accident.
_PLACE: Final = ("$metadata",)


def core_metadata(manifest: Manifest, vectors: list[VectorRecord], ring: KeyRing) -> dict[str, q.Value]:
    """The metadata of a new protected collection."""
    texts = {CORE: pack_core(manifest, ring)}
    texts.update({_VECTOR + record.name: pack_vector(record, manifest, ring) for record in vectors})
    return {key: q.Value(string_value=text) for key, text in texts.items()}


def vector_metadata(record: VectorRecord, manifest: Manifest, ring: KeyRing) -> dict[str, q.Value]:
    """The metadata of one vector name that is added later."""
    return {_VECTOR + record.name: q.Value(string_value=pack_vector(record, manifest, ring))}


def without_vector(name: str) -> dict[str, q.Value]:
    """Metadata that removes a vector's record: null deletes a key in Qdrant's merge."""
    return {_VECTOR + name: q.Value(null_value=q.NullValue.NULL_VALUE)}


def has_core(metadata: Mapping[str, q.Value], core: str) -> bool:
    """Whether a collection's metadata holds this manifest's core, byte for byte."""
    return CORE in metadata and metadata[CORE].string_value == core


def index_metadata(field: str, declared: q.CreateFieldIndexCollection) -> dict[str, q.Value]:
    """Metadata that remembers what index a client declared on a stored field."""
    kept = q.CreateFieldIndexCollection()
    if declared.HasField("field_type"):
        kept.field_type = declared.field_type
    if declared.HasField("field_index_params"):
        kept.field_index_params.CopyFrom(declared.field_index_params)
    return {INDEX + field: q.Value(string_value=base64.b64encode(kept.SerializeToString()).decode())}


def without_index(field: str) -> dict[str, q.Value]:
    """Metadata that forgets a declared index."""
    return {INDEX + field: q.Value(null_value=q.NullValue.NULL_VALUE)}


def declared_indexes(metadata: Mapping[str, q.Value]) -> dict[str, q.CreateFieldIndexCollection]:
    """Declared indexes by stored field.

    Raises:
        Unreadable: one is damaged.
    """
    found = {}
    for key, value in metadata.items():
        if key.startswith(INDEX):
            try:
                message = q.CreateFieldIndexCollection.FromString(base64.b64decode(value.string_value, validate=True))
            except (binascii.Error, ValueError, DecodeError):
                raise Unreadable from None
            found[key.removeprefix(INDEX)] = message
    return found


def seal_client_metadata(metadata: MutableMapping[str, q.Value], fields: Fields, manifest: Manifest) -> None:
    """Seal a client's collection metadata in place.

    Raises:
        InvalidArgument: a key is one of ours.
    """
    for key in metadata:
        if key == CORE or key.startswith(f"{CORE}."):
            raise InvalidArgument(f"collection metadata key `{key}` is reserved for VecGuard")
    protect_map(metadata, _PLACE, fields, manifest.uuid.bytes)


def client_metadata(metadata: MutableMapping[str, q.Value], fields: Fields, manifest: Manifest) -> None:
    """Turn stored metadata into the client's, in place.

    Raises:
        Unreadable: a value does not authenticate.
    """
    for key in [key for key in metadata if key == CORE or key.startswith(f"{CORE}.")]:
        del metadata[key]
    reveal_map(metadata, _PLACE, fields, manifest.uuid.bytes)


async def read_manifest(upstream: Upstream, name: str, caller: Caller) -> StoredManifest | None:
    """A collection's stored manifest; None where it has none.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
        Unreadable: vector records without a manifest.
    """
    ask = q.GetCollectionInfoRequest(collection_name=name)
    answer, stamp = await upstream.stamped("/qdrant.Collections/Get", ask, q.GetCollectionInfoResponse, caller)
    if not answer.HasField("result"):
        raise UpstreamFailure("INTERNAL", "the vector database described a collection without saying anything of it")
    return stored_manifest(answer.result.config.metadata, stamp)


def stored_manifest(metadata: Mapping[str, q.Value], stamp: str = "") -> StoredManifest | None:
    """The manifest in a collection's metadata; None where there is none. `stamp`: see `StoredManifest`.

    Raises:
        Unreadable: vector records without a manifest.
    """
    vectors = {
        key.removeprefix(_VECTOR): value.string_value for key, value in metadata.items() if key.startswith(_VECTOR)
    }
    tenants = {
        key.removeprefix(_TENANT): value.string_value for key, value in metadata.items() if key.startswith(_TENANT)
    }
    if CORE not in metadata:
        if vectors or tenants:
            raise Unreadable
        return None
    core, newest = metadata[CORE].string_value, NEWEST in metadata
    return StoredManifest(core, vectors, tenants=tenants, newest=newest, stamp=stamp)


async def write_manifest(upstream: Upstream, name: str, stored: StoredManifest, caller: Caller) -> None:
    """Put a manifest in the place of the one that a collection has, all its texts in one step.

    Of keys of tenants those that `stored` has are put, or taken out where their text is empty; all others stay.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    texts = {CORE: stored.core, **{_VECTOR + key: text for key, text in stored.vectors.items()}}
    ask = q.UpdateCollection(collection_name=name)
    for key, text in texts.items():
        ask.metadata[key].string_value = text
    for place, text in stored.tenants.items():
        value = q.Value(string_value=text) if text else q.Value(null_value=q.NullValue.NULL_VALUE)
        ask.metadata[_TENANT + place].CopyFrom(value)
    await upstream.call("/qdrant.Collections/Update", ask, q.CollectionOperationResponse, caller)


async def write_tenant_keys(upstream: Upstream, name: str, texts: Mapping[str, str], caller: Caller) -> None:
    """Put texts of tenants' keys, by their place, beside a collection's manifest; all others stay.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    ask = q.UpdateCollection(collection_name=name)
    for place, text in texts.items():
        ask.metadata[_TENANT + place].string_value = text
    await upstream.call("/qdrant.Collections/Update", ask, q.CollectionOperationResponse, caller)


async def reseal_client_metadata(upstream: Upstream, name: str, fields: Fields, manifest: Manifest) -> None:
    """Bring a client's collection metadata to the current keys.

    Raises:
        Unreadable: a value does not authenticate.
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    ask = q.GetCollectionInfoRequest(collection_name=name)
    info = (await upstream.call("/qdrant.Collections/Get", ask, q.GetCollectionInfoResponse, Caller())).result
    change = q.UpdateCollection(collection_name=name, metadata=info.config.metadata)
    client_metadata(change.metadata, fields, manifest)
    if change.metadata:
        seal_client_metadata(change.metadata, fields, manifest)
        await upstream.call("/qdrant.Collections/Update", change, q.CollectionOperationResponse, Caller())


async def real_name(upstream: Upstream, name: str, caller: Caller) -> str:
    """The collection that `name` stands for as an alias, else `name` itself.

    Raises:
        UpstreamFailure: the database cannot be reached.
    """
    answer = await upstream.call(
        "/qdrant.Collections/ListAliases", q.ListAliasesRequest(), q.ListAliasesResponse, caller
    )
    return next((alias.collection_name for alias in answer.aliases if alias.alias_name == name), name)
