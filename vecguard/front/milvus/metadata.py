"""The manifest in a collection's properties, and the client's properties beside it.

Ours are `_vg` (the manifest's core), `_vg.next` (the core under a new name, while the collection is renamed),
`_vg.vector.<name>` (a vector's record), `_vg.tenant.<number>` (a tenant's key), `_vg.declared` (the schema as the
client declared it, sealed), `_vg.moving` (what the job that rotates keys is about, see `moving`) and `_vg.newest` (see
`NEWEST`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, MutableSequence
from typing import Final

from vecguard.catalog import StoredManifest
from vecguard.errors import InvalidArgument, Unreadable, UpstreamFailure
from vecguard.front.milvus.layout import is_hidden
from vecguard.front.milvus.place import Place, from_key
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.status import checked, is_not_found
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, VectorRecord, pack_core, pack_vector
from vecguard.model import Caller
from vecguard.seal import base64url
from vecguard.seal.declaration import seal_declaration
from vecguard.upstream import Upstream

CORE: Final = "_vg"
NEXT: Final = "_vg.next"
DECLARED: Final = "_vg.declared"
MOVING: Final = "_vg.moving"
NEWEST: Final = "_vg.newest"
"""Where this is, somebody remembers which rows are the newest: who writes without telling makes them foreign."""
_VECTOR: Final = "_vg.vector."
_TENANT: Final = "_vg.tenant."
_DESCRIBE: Final = rpc("DescribeCollection")


def pairs(values: Mapping[str, str]) -> list[c.KeyValuePair]:
    """Properties as Milvus has them."""
    return [c.KeyValuePair(key=key, value=value) for key, value in values.items()]


def manifest_properties(
    manifest: Manifest, vectors: Iterable[VectorRecord], declared: s.CollectionSchema, ring: KeyRing
) -> dict[str, str]:
    """The properties of a new protected collection."""
    texts = {CORE: pack_core(manifest, ring)}
    texts.update({_VECTOR + record.name: pack_vector(record, manifest, ring) for record in vectors})
    return texts | declared_property(declared, manifest, ring)


def declared_property(declared: s.CollectionSchema, manifest: Manifest, ring: KeyRing) -> dict[str, str]:
    """The property that holds the schema as the client declared it."""
    content = declared.SerializeToString(deterministic=True)
    return {DECLARED: seal_declaration(content, ring, manifest.uuid.bytes)}


def require_clients(properties: Iterable[c.KeyValuePair], deleted: Iterable[str] = ()) -> None:
    """Refuse properties of ours in a client's request.

    Raises:
        InvalidArgument: there is one.
    """
    for key in (*(pair.key for pair in properties), *deleted):
        if is_hidden(key):
            raise InvalidArgument(f"property {key} is reserved: invalid parameter")


def hide(properties: MutableSequence[c.KeyValuePair]) -> None:
    """Take our properties out of what a client is shown."""
    kept = [pair for pair in properties if not is_hidden(pair.key)]
    if len(kept) < len(properties):
        del properties[:]
        properties.extend(kept)


def stored_manifest(properties: Iterable[c.KeyValuePair], key: str) -> StoredManifest | None:
    """The manifest in a collection's properties; None where there is none. `key` is the collection's own.

    Raises:
        Unreadable: parts of a manifest without its core.
    """
    ours = {pair.key: pair.value for pair in properties if is_hidden(pair.key)}
    if not ours:
        return None
    if CORE not in ours:
        raise Unreadable
    core = ours[CORE]
    if NEXT in ours and _named(core) != key and _named(ours[NEXT]) == key:
        core = ours[NEXT]
    vectors = {name.removeprefix(_VECTOR): text for name, text in ours.items() if name.startswith(_VECTOR)}
    places = {name.removeprefix(_TENANT): text for name, text in ours.items() if name.startswith(_TENANT)}
    tenants = {place: text for place, text in places.items() if text}
    vacant = frozenset(places.keys() - tenants.keys())
    return StoredManifest(core, vectors, ours.get(DECLARED), tenants, ours.get(MOVING, ""), vacant, NEWEST in ours)


def _named(core: str) -> str | None:
    """The collection that a core names, before anything is authenticated: it decides which of two is looked at."""
    try:
        body = json.loads(base64url.decode(core.split(".")[1]))
    except (IndexError, ValueError, Unreadable):
        return None
    return body.get("collection") if isinstance(body, dict) else None


def described_as(described: m.DescribeCollectionResponse, asked: Place) -> Place:
    """The collection that an answer describes, which an alias may have been asked for.

    It is the schema that has the collection's own name: older servers answer an alias with the alias beside it.
    """
    return Place(asked.database, described.schema.name or described.collection_name or asked.name)


async def _describe(upstream: Upstream, key: str, caller: Caller) -> tuple[m.DescribeCollectionResponse, Place]:
    place = from_key(key)
    ask = m.DescribeCollectionRequest(db_name=place.database, collection_name=place.name)
    answer = checked(await upstream.call(_DESCRIBE, ask, m.DescribeCollectionResponse, caller))
    return answer, described_as(answer, place)


async def read_manifest(upstream: Upstream, key: str, caller: Caller) -> StoredManifest | None:
    """A collection's stored manifest; None where it has none.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
        Unreadable: parts of a manifest without its core.
    """
    answer, place = await _describe(upstream, key, caller)
    return stored_manifest(answer.properties, place.key)


async def write_manifest(upstream: Upstream, key: str, stored: StoredManifest, caller: Caller) -> None:
    """Put a manifest in the place of the one that a collection has, all its texts in one step.

    Of keys of tenants those that `stored` has are put; all others stay. An empty text leaves the place vacant: older
    servers cannot take a property away.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    texts = {CORE: stored.core, **{_VECTOR + name: text for name, text in stored.vectors.items()}}
    if stored.declared is not None:
        texts[DECLARED] = stored.declared
    texts |= {_TENANT + place: text for place, text in stored.tenants.items()}
    await _alter(upstream, key, texts, caller)


async def write_tenant_keys(upstream: Upstream, key: str, texts: Mapping[str, str], caller: Caller) -> None:
    """Put texts of tenants' keys, by their place, beside a collection's manifest; all others stay.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    await _alter(upstream, key, {_TENANT + name: text for name, text in texts.items()}, caller)


async def write_moving(upstream: Upstream, key: str, text: str, caller: Caller) -> None:
    """Say beside a collection's manifest what the job that rotates its keys is about.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    await _alter(upstream, key, {MOVING: text}, caller)


async def note_newest(upstream: Upstream, key: str) -> None:
    """Note beside a collection's manifest that it is remembered which of its rows are the newest.

    Raises:
        UpstreamFailure: the collection does not exist, or the database cannot be reached.
    """
    await _alter(upstream, key, {NEWEST: "true"}, Caller())


async def _alter(upstream: Upstream, key: str, texts: Mapping[str, str], caller: Caller) -> None:
    place = from_key(key)
    ask = m.AlterCollectionRequest(db_name=place.database, collection_name=place.name, properties=pairs(texts))
    checked(await upstream.call(rpc("AlterCollection"), ask, c.Status, caller))


async def real_name(upstream: Upstream, key: str, caller: Caller) -> str:
    """The key of the collection that `key` stands for as an alias, else (also where there is none) `key` itself.

    Raises:
        UpstreamFailure: the database cannot be reached.
    """
    try:
        _, place = await _describe(upstream, key, caller)
    except UpstreamFailure as failure:
        if is_not_found(failure):
            return key
        raise
    return place.key
