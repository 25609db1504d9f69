"""The manifest of a protected collection: what must be remembered to open it again, authenticated.

A manifest says which transforms, field modes and key epochs a collection was made with. It is kept with the collection
itself (Qdrant: collection metadata), as a *core* and one *vector record* a vector name, so that a vector that is added
later needs no rewrite of the rest. Text form of each: `vgm1.<base64url JSON>.<base64url tag>`, the tag being
HMAC-SHA256 (RFC 2104) over the first two parts with a subkey of the current epoch's data key. docs/formats.md has it
byte by byte.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from vecguard.errors import Shredded, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider
from vecguard.keys.ring import MAX_EPOCH, KeyRing
from vecguard.metric import Distance
from vecguard.policy.model import CollectionPolicy, IdMode, PayloadRule, Recover
from vecguard.policy.transforms import TransformSpec
from vecguard.seal import base64url

_PREFIX: Final = "vgm1"
_SHREDDED: Final = "vgx1"
_TAG_PURPOSE: Final = "manifest"
_SIV_KEY_BYTES: Final = 64

Epoch: TypeAlias = Annotated[int, Field(ge=1, le=MAX_EPOCH)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VectorRecord(_Record):
    """How one named vector was declared by the client and is protected at rest."""

    name: str
    kind: Literal["dense", "multi", "sparse"]
    dims: int = Field(ge=0)
    distance: Distance
    transforms: tuple[TransformSpec, ...]
    recover: Recover
    half: bool = False
    """Whether the backend stores it in half precision, which bounds how exactly it can be recovered."""


class Manifest(_Record):
    """The core of a collection's manifest. `epochs` holds the wrapped data key of each live key epoch."""

    format: Literal[1] = 1
    uuid: uuid.UUID
    collection: str
    created: datetime
    epochs: dict[Epoch, str]
    current: Epoch
    payload: PayloadRule
    ids: str | None = None
    """The key of point ids, sealed under the current epoch's data key; None where ids are stored as they are."""

    _id_key: Key | None = PrivateAttr(default=None)

    @property
    def id_key(self) -> Key | None:
        """The key of point ids, which outlives key epochs: an id that changed would be another point."""
        return self._id_key

    @classmethod
    def new(
        cls, collection: str, payload: PayloadRule, provider: KeyProvider, ids: IdMode = "plain"
    ) -> tuple[Self, KeyRing]:
        """A manifest for a new collection, with a fresh data key wrapped by `provider`.

        Raises:
            Unavailable: the key provider is out of reach.
        """
        identity = uuid.uuid4()
        data_key = Key.random()
        wrapped = provider.wrap(data_key, _context(identity, 1))
        manifest = cls(
            uuid=identity,
            collection=collection,
            created=datetime.now(UTC).replace(microsecond=0),
            epochs={1: base64url.encode(wrapped)},
            current=1,
            payload=payload,
        )
        manifest._id_key = Key.random() if ids == "encrypted" else None
        return manifest, KeyRing({1: data_key}, 1)

    def with_next_epoch(self, ring: KeyRing, provider: KeyProvider) -> tuple[Self, KeyRing]:
        """The manifest with one more live epoch, under a fresh data key; the current epoch stays what it is.

        Records under the new epoch can be read from then on, and none are written yet.

        Raises:
            Unavailable: the key provider is out of reach.
        """
        epoch, data_key = max(self.epochs) + 1, Key.random()
        wrapped = base64url.encode(provider.wrap(data_key, _context(self.uuid, epoch)))
        more = self.model_copy(update={"epochs": {**self.epochs, epoch: wrapped}})
        return more, ring.with_epochs(self.current, {epoch: data_key})

    def with_newest_current(self, ring: KeyRing) -> tuple[Self, KeyRing]:
        """The manifest under which new data is written in the newest live epoch."""
        newest = max(self.epochs)
        return self.model_copy(update={"current": newest}), ring.with_epochs(newest)

    def with_current_only(self, ring: KeyRing) -> tuple[Self, KeyRing]:
        """The manifest without the wrapped keys of all but the current epoch: what they sealed is lost for good."""
        kept = {self.current: self.epochs[self.current]}
        return self.model_copy(update={"epochs": kept}), ring.with_epochs(self.current, only=self.current)

    def rewrapped(self, ring: KeyRing, provider: KeyProvider) -> Self:
        """The manifest with the same data keys, wrapped anew by `provider`.

        Raises:
            Unavailable: the key provider is out of reach.
        """
        wrapped = {
            epoch: base64url.encode(ring.wrapped(epoch, provider, _context(self.uuid, epoch))) for epoch in self.epochs
        }
        return self.model_copy(update={"epochs": wrapped})

    @property
    def short_id(self) -> str:
        """What every record of the collection carries: the first 8 bytes of the uuid, as hex."""
        return self.uuid.hex[:16]

    def unlock(self, provider: KeyProvider) -> KeyRing:
        """Unwrap the data keys.

        Raises:
            Unreadable: a key does not unwrap (wrong key-encryption key, or a damaged manifest).
            Unavailable: the key provider is out of reach.
        """
        keys = {
            epoch: provider.unwrap(base64url.decode(text), _context(self.uuid, epoch))
            for epoch, text in self.epochs.items()
        }
        if self.current not in keys:
            raise Unreadable
        return KeyRing(keys, self.current)


class Tombstone(_Record):
    """What stands in the place of a manifest's core whose keys were destroyed. Nobody is left to authenticate it."""

    format: Literal[1] = 1
    uuid: uuid.UUID
    collection: str
    epochs: tuple[Epoch, ...]
    time: datetime


def pack_tombstone(tombstone: Tombstone) -> str:
    """Text form of a tombstone."""
    body = json.dumps(tombstone.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return f"{_SHREDDED}.{base64url.encode(body.encode())}"


def is_shredded(text: str) -> bool:
    """Whether a core's text is a tombstone."""
    return text.startswith(f"{_SHREDDED}.")


def read_tombstone(text: str) -> Tombstone:
    """A tombstone out of its text form.

    Raises:
        Unreadable: it is malformed.
    """
    try:
        return Tombstone.model_validate_json(base64url.decode(text.removeprefix(f"{_SHREDDED}.")))
    except ValidationError:
        raise Unreadable from None


def _context(identity: uuid.UUID, epoch: int) -> bytes:
    """AAD of a wrapped data key: whose it is."""
    return b"vecguard data key" + identity.bytes + epoch.to_bytes(4, "big")


def _tag(ring: KeyRing, epoch: int, purpose: str, identity: uuid.UUID, body: str) -> bytes:
    key = ring.subkey(epoch, _TAG_PURPOSE, purpose, identity.hex)
    return hmac.digest(key.expose(), f"{_PREFIX}.{body}".encode(), "sha256")


def _id_box(ring: KeyRing, epoch: int) -> AESSIV:
    return AESSIV(ring.subkey(epoch, "ids").derive_bytes(_SIV_KEY_BYTES, "aes-siv"))


def _sealed_id_key(manifest: Manifest, ring: KeyRing) -> str | None:
    if manifest.id_key is None:
        return None
    box = _id_box(ring, manifest.current).encrypt(manifest.id_key.expose(), [manifest.uuid.bytes])
    return base64url.encode(box)


def _open_id_key(manifest: Manifest, ring: KeyRing) -> Key | None:
    if manifest.ids is None:
        return None
    try:
        return Key(_id_box(ring, manifest.current).decrypt(base64url.decode(manifest.ids), [manifest.uuid.bytes]))
    except (InvalidTag, ValueError):
        raise Unreadable from None


def _pack(record: BaseModel, ring: KeyRing, epoch: int, purpose: str, identity: uuid.UUID) -> str:
    content = record.model_dump(mode="json")
    if content.get("ids", "") is None:
        del content["ids"]  # what stands for ids that are stored as they are
    body = base64url.encode(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    return f"{_PREFIX}.{body}.{base64url.encode(_tag(ring, epoch, purpose, identity, body))}"


def _split(text: str) -> tuple[str, bytes]:
    parts = text.split(".")
    if len(parts) != 3 or parts[0] != _PREFIX:
        raise Unreadable
    return parts[1], base64url.decode(parts[2])


def pack_core(manifest: Manifest, ring: KeyRing) -> str:
    """Text form of a manifest's core. The key of point ids is sealed anew, under the data key that is current now."""
    whole = manifest.model_copy(update={"ids": _sealed_id_key(manifest, ring)})
    return _pack(whole, ring, manifest.current, "core", manifest.uuid)


def open_core(text: str, provider: KeyProvider) -> tuple[Manifest, KeyRing]:
    """A manifest and its keys, out of the text form.

    Raises:
        Unreadable: damaged, altered, of an unknown format, or made with another key-encryption key.
        Shredded: a tombstone stands in its place.
        Unavailable: the key provider is out of reach.
    """
    if is_shredded(text):
        raise Shredded(read_tombstone(text).uuid.bytes)
    body, tag = _split(text)
    try:
        manifest = Manifest.model_validate_json(base64url.decode(body))
    except ValidationError:
        raise Unreadable from None
    ring = manifest.unlock(provider)
    if not hmac.compare_digest(tag, _tag(ring, manifest.current, "core", manifest.uuid, body)):
        raise Unreadable
    manifest._id_key = _open_id_key(manifest, ring)
    return manifest, ring


def pack_vector(record: VectorRecord, manifest: Manifest, ring: KeyRing) -> str:
    """Text form of a vector record, bound to its manifest and name."""
    return _pack(record, ring, manifest.current, f"vector:{record.name}", manifest.uuid)


def open_vector(name: str, text: str, manifest: Manifest, ring: KeyRing) -> VectorRecord:
    """The vector record of `name`.

    Raises:
        Unreadable: damaged, altered, or another vector's or collection's record.
    """
    body, tag = _split(text)
    if not hmac.compare_digest(tag, _tag(ring, manifest.current, f"vector:{name}", manifest.uuid, body)):
        raise Unreadable
    try:
        record = VectorRecord.model_validate_json(base64url.decode(body))
    except ValidationError:
        raise Unreadable from None
    if record.name != name:
        raise Unreadable
    return record


def differences(manifest: Manifest, vectors: Mapping[str, VectorRecord], policy: CollectionPolicy) -> list[str]:
    """What a policy now says otherwise than the collection was made with; empty when it still fits."""
    found: list[str] = []
    if policy.payload != manifest.payload:
        found.append(f"payload is {_shown(manifest.payload)} in the collection, {_shown(policy.payload)} in the policy")
    kept: IdMode = "plain" if manifest.id_key is None else "encrypted"
    if policy.ids != kept:
        found.append(f"ids are {kept} in the collection, {policy.ids} in the policy")
    for name, record in vectors.items():
        rule = policy.vector(name)
        if record.kind == "sparse":
            continue  # a sparse vector is protected in one way only
        if rule.transforms != record.transforms:
            found.append(
                f"transforms of vector `{name}` are {_kinds(record.transforms)} in the collection, "
                f"{_kinds(rule.transforms)} in the policy"
            )
        if rule.recover != record.recover:
            found.append(
                f"recover of vector `{name}` is {record.recover} in the collection, {rule.recover} in the policy"
            )
    return found


def _shown(rule: PayloadRule) -> str:
    fields = ", ".join(f"{path}: {mode}" for path, mode in sorted(rule.fields.items()))
    return f"{{default: {rule.default}; {fields}}}"


def _kinds(transforms: tuple[TransformSpec, ...]) -> str:
    return "[" + ", ".join(t.model_dump_json() for t in transforms) + "]"
