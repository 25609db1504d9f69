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
from vecguard.keys.tenants import TenantKeys
from vecguard.metric import Distance
from vecguard.policy.model import CollectionPolicy, IdMode, PayloadRule, Recover
from vecguard.policy.tenants import TenantRule
from vecguard.policy.transforms import TransformSpec
from vecguard.seal import base64url
from vecguard.seal.tenant import open_tenant_key
from vecguard.tombstone import is_shredded, read_tombstone

_PREFIX: Final = "vgm1"
_TAG_PURPOSE: Final = "manifest"
_SIV_KEY_BYTES: Final = 64
# Fields of the core that hold sealed keys, and the purposes of the subkeys that these are sealed with.
_IDS: Final = "ids"
_DETECTION: Final = "detection"
_NAMES: Final = "names"
_TENANTS: Final = "tenants"
_TENANT_IDS: Final = "tenant_ids"
_DETECTION_BOX: Final = "detection key"
_TENANT_IDS_BOX: Final = "tenant ids key"

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
    detection: str | None = None
    """The detection key, sealed in the same way once keys were rotated; None before, when it can be derived."""
    tenants: TenantRule | None = None
    """What says whose a record is, where each tenant has keys of its own."""
    tenant_ids: str | None = None
    """The key of tenants' ids, sealed likewise once keys were rotated; None before, when it can be derived."""
    names: str | None = None
    """The key of field names, sealed likewise; None where names are stored as they are."""

    _id_key: Key | None = PrivateAttr(default=None)
    _name_key: Key | None = PrivateAttr(default=None)
    _detection_key: Key | None = PrivateAttr(default=None)
    _tenant_id_key: Key | None = PrivateAttr(default=None)

    @property
    def id_key(self) -> Key | None:
        """The key of point ids, which outlives key epochs: an id that changed would be another point."""
        return self._id_key

    @property
    def name_key(self) -> Key | None:
        """The key of field names, which outlives key epochs: a name is the same in all records."""
        return self._name_key

    def detection_key(self, ring: KeyRing) -> Key:
        """The key of sketches and hashed ids, which outlives key epochs: what was seen before would look like new.

        Until the first rotation it is the subkey `detection` of the data key; a rotation keeps that one for good.

        Raises:
            Unreadable: the current epoch has no data key.
        """
        return self._detection_key or ring.subkey(self.current, _DETECTION)

    def tenant_id_key(self, ring: KeyRing) -> Key:
        """The key of tenants' ids, which outlives key epochs likewise. Raises Unreadable."""
        return self._tenant_id_key or ring.subkey(self.current, "tenant.id")

    @classmethod
    def new(
        cls,
        collection: str,
        payload: PayloadRule,
        provider: KeyProvider,
        ids: IdMode = "plain",
        tenants: TenantRule | None = None,
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
            tenants=tenants,
        )
        manifest._id_key = Key.random() if ids == "encrypted" else None
        manifest._name_key = Key.random() if payload.hash_names else None
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
        more._detection_key = Key(self.detection_key(ring).expose())
        if self.tenants is not None:
            more._tenant_id_key = Key(self.tenant_id_key(ring).expose())
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


def _context(identity: uuid.UUID, epoch: int) -> bytes:
    """AAD of a wrapped data key: whose it is."""
    return b"vecguard data key" + identity.bytes + epoch.to_bytes(4, "big")


def _tag(ring: KeyRing, epoch: int, purpose: str, identity: uuid.UUID, body: str) -> bytes:
    key = ring.subkey(epoch, _TAG_PURPOSE, purpose, identity.hex)
    return hmac.digest(key.expose(), f"{_PREFIX}.{body}".encode(), "sha256")


def _box(ring: KeyRing, epoch: int, purpose: str) -> AESSIV:
    return AESSIV(ring.subkey(epoch, purpose).derive_bytes(_SIV_KEY_BYTES, "aes-siv"))


def _sealed_key(key: Key | None, manifest: Manifest, ring: KeyRing, purpose: str) -> str | None:
    """A key that outlives epochs, sealed under the data key of the current one."""
    if key is None:
        return None
    return base64url.encode(_box(ring, manifest.current, purpose).encrypt(key.expose(), [manifest.uuid.bytes]))


def _open_key(sealed: str | None, manifest: Manifest, ring: KeyRing, purpose: str) -> Key | None:
    if sealed is None:
        return None
    try:
        return Key(_box(ring, manifest.current, purpose).decrypt(base64url.decode(sealed), [manifest.uuid.bytes]))
    except (InvalidTag, ValueError):
        raise Unreadable from None


def _pack(record: BaseModel, ring: KeyRing, epoch: int, purpose: str, identity: uuid.UUID) -> str:
    content = record.model_dump(mode="json")
    for kept in (_IDS, _DETECTION, _NAMES, _TENANTS, _TENANT_IDS):
        if content.get(kept, "") is None:
            del content[kept]  # there is none (yet)
    if "payload" in content and not content["payload"]["hash_names"]:
        del content["payload"]["hash_names"]
    body = base64url.encode(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())
    return f"{_PREFIX}.{body}.{base64url.encode(_tag(ring, epoch, purpose, identity, body))}"


def _split(text: str) -> tuple[str, bytes]:
    parts = text.split(".")
    if len(parts) != 3 or parts[0] != _PREFIX:
        raise Unreadable
    return parts[1], base64url.decode(parts[2])


def pack_core(manifest: Manifest, ring: KeyRing) -> str:
    """Text form of a manifest's core. Keys that outlive epochs are sealed anew, under the data key of the current."""
    sealed = {
        _IDS: _sealed_key(manifest._id_key, manifest, ring, _IDS),
        _NAMES: _sealed_key(manifest._name_key, manifest, ring, _NAMES),
        _DETECTION: _sealed_key(manifest._detection_key, manifest, ring, _DETECTION_BOX),
        _TENANT_IDS: _sealed_key(manifest._tenant_id_key, manifest, ring, _TENANT_IDS_BOX),
    }
    whole = manifest.model_copy(update=sealed)
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
    if manifest.payload.hash_names != (manifest.names is not None):
        raise Unreadable
    manifest._id_key = _open_key(manifest.ids, manifest, ring, _IDS)
    manifest._name_key = _open_key(manifest.names, manifest, ring, _NAMES)
    manifest._detection_key = _open_key(manifest.detection, manifest, ring, _DETECTION_BOX)
    manifest._tenant_id_key = _open_key(manifest.tenant_ids, manifest, ring, _TENANT_IDS_BOX)
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


def open_tenants(
    texts: Mapping[str, str], manifest: Manifest, ring: KeyRing, known: TenantKeys | None = None
) -> TenantKeys:
    """The keys of a collection's tenants, by the texts that the backend has of them; `known` learns those it lacks.

    Raises:
        Unreadable: one is damaged, altered, or another's; or the collection's tenants have no keys of their own.
    """
    keys = TenantKeys() if known is None else known
    if texts and manifest.tenants is None:
        raise Unreadable
    for digits, text in texts.items():
        number = _number(digits)
        if not keys.known(number):
            found = open_tenant_key(number, text, ring, manifest.uuid.bytes)
            keys.learn(found.number, found.epoch, found.tenant, found.key)
    return keys


def tenant_place(number: int) -> str:
    """What a tenant's key is called where its text lies: its number as 8 lower-case hexadecimal digits."""
    return f"{number:08x}"


def _number(digits: str) -> int:
    try:
        number = int(digits, 16)
    except ValueError:
        raise Unreadable from None
    if tenant_place(number) != digits:
        raise Unreadable
    return number


def differences(manifest: Manifest, vectors: Mapping[str, VectorRecord], policy: CollectionPolicy) -> list[str]:
    """What a policy now says otherwise than the collection was made with; empty when it still fits."""
    found: list[str] = []
    if policy.payload != manifest.payload:
        found.append(f"payload is {_shown(manifest.payload)} in the collection, {_shown(policy.payload)} in the policy")
    if policy.tenant_keys != manifest.tenants:
        found.append(
            f"tenant_keys are {_told(manifest.tenants)} in the collection, {_told(policy.tenant_keys)} in the policy"
        )
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


def _told(rule: TenantRule | None) -> str:
    return "off" if rule is None else rule.shown


def _shown(rule: PayloadRule) -> str:
    fields = ", ".join(f"{path}: {mode}" for path, mode in sorted(rule.fields.items()))
    hidden = "; hash_names" if rule.hash_names else ""
    return f"{{default: {rule.default}; {fields}{hidden}}}"


def _kinds(transforms: tuple[TransformSpec, ...]) -> str:
    return "[" + ", ".join(t.model_dump_json() for t in transforms) + "]"
