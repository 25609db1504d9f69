"""The KEK in a hardware security module, by PKCS #11."""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote, unquote_to_bytes

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys import remote
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping

try:
    import pkcs11
    from pkcs11 import exceptions as refused
except ModuleNotFoundError:
    raise ConfigError("the key provider `pkcs11` needs a client library: pip install 'vecguard[pkcs11]'") from None

PIN_VARIABLE: Final = "VECGUARD_PKCS11_PIN"
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MOST_ID_BYTES: Final = 255
_SIZE: Final = struct.Struct(">B")
_NOT_AUTHENTIC: Final = (refused.EncryptedDataInvalid, refused.EncryptedDataLenRange)
_PIN: Final = (refused.PinIncorrect, refused.PinLocked, refused.PinExpired, refused.PinLenRange, refused.PinInvalid)
_DENIED: Final = (
    *(refused.UserNotLoggedIn, refused.UserPinNotInitialized, refused.KeyTypeInconsistent),
    *(refused.MechanismInvalid, refused.MechanismParamInvalid, refused.KeySizeRange, refused.FunctionNotSupported),
)
_NO_KEY: Final = (
    refused.NoSuchKey,
    refused.NoSuchToken,
    refused.MultipleObjectsReturned,
    refused.MultipleTokensReturned,
)


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A key by RFC 7512: `token=LABEL;object=LABEL[;id=%01][;serial=...]?module-path=FILE[&pin-source=file:FILE]`."""

    module: str
    object: str | None
    id: bytes | None
    token: str | None
    serial: bytes | None
    pin_file: Path | None

    @classmethod
    def parse(cls, text: str) -> KeyUri:
        """Read the part of the URI after `pkcs11:`.

        Raises:
            ConfigError: an attribute that is not known, twice there, or missing; or a PIN within the URI.
        """
        path, _, query = text.partition("?")
        given = [*_attributes(path, ";"), *_attributes(query, "&")]
        found = dict(given)
        known = {"token", "serial", "object", "id", "type", "module-path", "pin-source"}
        if "pin-value" in found:
            raise ConfigError(f"a PIN does not belong into the settings: set {PIN_VARIABLE}, or give pin-source")
        named = ("object" in found or "id" in found) and ("token" in found or "serial" in found)
        good = found.get("type", "secret-key") == "secret-key" and found.get("pin-source", "file:").startswith("file:")
        if len(found) != len(given) or not found.keys() <= known or not named or "module-path" not in found or not good:
            raise ConfigError(
                "a key in an HSM is named by RFC 7512: pkcs11:token=LABEL;object=LABEL?module-path=FILE, with id= or "
                "serial= where labels are not enough, and pin-source=file:FILE where the PIN lies in a file"
            )
        return cls(
            module=unquote(found["module-path"]),
            object=unquote(found["object"]) if "object" in found else None,
            id=unquote_to_bytes(found["id"]) if "id" in found else None,
            token=unquote(found["token"]) if "token" in found else None,
            serial=unquote_to_bytes(found["serial"]) if "serial" in found else None,
            pin_file=Path(unquote(found["pin-source"].removeprefix("file:"))) if "pin-source" in found else None,
        )

    @property
    def name(self) -> str:
        """For logs."""
        token = self.token or (self.serial or b"").decode("ascii", "replace")
        return f"pkcs11:{token}/{self.object or (self.id or b'').hex()}"


class Pkcs11KeyProvider(RemoteWrapping):
    """Encrypts with CKM_AES_GCM (PKCS #11 v3.0, §2.13) within the module; the context is its associated data.

    The box names the key by CKA_ID, so that older keys of the token go on opening what they wrapped.
    """

    provider: ClassVar[int] = 5
    kind: ClassVar[str] = "pkcs11"

    def __init__(self, location: str, environ: Mapping[str, str]) -> None:
        """`location` is a `KeyUri`; the PIN is read at each use, from VECGUARD_PKCS11_PIN or the URI's pin-source.

        Raises:
            ConfigError: not such a URI, or the module cannot be loaded.
        """
        self._uri = KeyUri.parse(location)
        self._environ = environ
        self._library: Any = _load(self._uri.module)
        self._one_at_a_time = threading.Lock()
        self._broken = False
        self._pin_refused = False
        super().__init__(self._uri.name)

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        with self._session() as session:
            key = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, **self._search(self._uri.id))
            key_id = bytes(key.id or b"")[:_MOST_ID_BYTES]
            box = key.encrypt(plaintext, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, aad))
        return _SIZE.pack(len(key_id)) + key_id + nonce + bytes(box)

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        size = box[0] if box else 0
        key_id, rest = box[1 : 1 + size], box[1 + size :]
        if len(rest) != _NONCE_BYTES + remote.ENCLOSED_BYTES + _TAG_BYTES:
            raise Unreadable
        nonce, sealed = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        with self._session() as session:
            key = self._named(session, key_id)
            try:
                opened = key.decrypt(sealed, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, aad))
            except refused.PKCS11Error:
                # Modules do not agree on the error for a wrong tag (SoftHSM: CKR_GENERAL_ERROR). If the key opens
                # what it has just encrypted itself, it is the box that is wrong.
                if not _works(key):
                    raise
                raise Unreadable from None
            return bytes(opened)

    def _named(self, session: Any, key_id: bytes) -> Any:
        """The key that a box names by its CKA_ID; the configured one, if that has none."""
        try:
            search = {"id": key_id} if key_id else self._search(self._uri.id)
            return session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, **search)
        except refused.NoSuchKey:
            if key_id:
                raise Unreadable from None  # wrapped by a key that this token does not have
            raise

    def _search(self, key_id: bytes | None) -> dict[str, Any]:
        label = {} if self._uri.object is None else {"label": self._uri.object}
        return label | ({} if key_id is None else {"id": key_id})

    @contextmanager
    def _session(self) -> Iterator[Any]:
        """A session of its own, logged in; one at a time, as the login belongs to the whole process."""
        with self._one_at_a_time:
            if self._pin_refused:  # a token locks itself after a few wrong PINs
                raise Unavailable(remote.DENIED)
            if self._broken:  # the module may have lost its device; what it knows of slots is of its start
                self._library.reinitialize()
                self._broken = False
            try:
                named = {"token_label": self._uri.token, "token_serial": self._uri.serial}
                token = self._library.get_token(**{key: value for key, value in named.items() if value is not None})
                with token.open(user_pin=self._pin()) as session:
                    yield session
            except _PIN:
                self._pin_refused = True
                raise
            except (VecGuardError, *_NOT_AUTHENTIC):
                raise
            except Exception:
                self._broken = True
                raise

    def _pin(self) -> str:
        if self._uri.pin_file is None:
            return self._environ.get(PIN_VARIABLE, "")
        return self._uri.pin_file.read_text(encoding="utf-8").rstrip("\r\n")

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        if operation == "unwrap" and isinstance(error, _NOT_AUTHENTIC):
            return Unreadable(), ""
        if isinstance(error, (*_PIN, *_DENIED, OSError)):
            return Unavailable(remote.DENIED), ""
        if isinstance(error, _NO_KEY):
            return Unavailable(remote.NO_KEY), ""
        return Unavailable(remote.UNREACHABLE if isinstance(error, refused.PKCS11Error) else remote.FAILED), ""


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is what stands after `pkcs11:` in a PKCS #11 URI.

    Raises:
        ConfigError: see `Pkcs11KeyProvider`.
    """
    return Pkcs11KeyProvider(location, environ)


def _attributes(text: str, separator: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in text.split(separator) if part]
    return [(name, value) for name, _, value in pairs]


def _gcm(nonce: bytes, aad: bytes) -> Any:
    return pkcs11.GCMParams(nonce, aad, _TAG_BYTES * 8)


def _works(key: Any) -> bool:
    nonce, text = secrets.token_bytes(_NONCE_BYTES), secrets.token_bytes(remote.ENCLOSED_BYTES)
    try:
        box = key.encrypt(text, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, b""))
        opened = key.decrypt(box, mechanism=pkcs11.Mechanism.AES_GCM, mechanism_param=_gcm(nonce, b""))
    except refused.PKCS11Error:
        return False
    return bool(opened == text)


def _load(module: str) -> Any:
    library = None
    if Path(module).is_file():
        with suppress(refused.PKCS11Error, RuntimeError):
            library = pkcs11.lib(module)
    if library is None:
        raise ConfigError(f"the PKCS #11 module {module} cannot be loaded")
    return library
