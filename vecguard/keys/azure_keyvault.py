"""The KEK in Azure Key Vault or Azure Managed HSM.

A symmetric key (Managed HSM only) encrypts with A256GCM and the context as associated data. A vault has RSA keys only,
which encrypt with their public half: anybody who knows that can make a box. So the box is signed with the same key
(RSASSA-PSS), which only Azure can do, and the signature covers the context. Encryption by OAEP and signatures by PSS
may share a key (Haber and Pinkas, CCS 2001).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from typing import Any, ClassVar, Final, NamedTuple

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys import remote
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping, quieten

try:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
    from azure.identity import DefaultAzureCredential
    from azure.keyvault.keys import KeyClient, KeyType, KeyVaultKey
    from azure.keyvault.keys.crypto import (
        CryptographyClient,
        EncryptionAlgorithm,
        KeyWrapAlgorithm,
        SignatureAlgorithm,
    )
except ModuleNotFoundError:
    raise ConfigError(
        "the key provider `azure-keyvault` needs a client library: pip install 'vecguard[azure]'"
    ) from None

_LOCATION: Final = re.compile(r"(?P<vault>https://[A-Za-z0-9.-]+(?::[0-9]{1,5})?)/keys/(?P<name>[A-Za-z0-9-]{1,127})/?")
_VERSION: Final = re.compile(r"[0-9a-f]{32}")
_AES: Final = 1
_RSA: Final = 2
_HEAD: Final = struct.Struct(">B16sH")
_IV_BYTES: Final = 12
_TAG_BYTES: Final = 16
_DOMAIN: Final = b"vecguard.wrap.azure"


class _Box(NamedTuple):
    """What is stored: algorithm, version of the key, and two parts (see docs/formats.md §1)."""

    algorithm: int
    version: str
    first: bytes
    second: bytes

    def pack(self) -> bytes:
        head = _HEAD.pack(self.algorithm, bytes.fromhex(self.version), len(self.first))
        return head + self.first + self.second

    @classmethod
    def parse(cls, box: bytes) -> _Box:
        if len(box) < _HEAD.size or box[0] not in (_AES, _RSA):
            raise Unreadable
        algorithm, version, size = _HEAD.unpack_from(box)
        parts = box[_HEAD.size :]
        if len(parts) <= size or (algorithm == _AES and size != _IV_BYTES + _TAG_BYTES):
            raise Unreadable
        return cls(algorithm, version.hex(), parts[:size], parts[size:])

    def digest(self, aad: bytes) -> bytes:
        """What the signature of an RSA box is made of."""
        return hashlib.sha256(length_prefixed(_DOMAIN, bytes.fromhex(self.version), self.first, aad)).digest()


class AzureKeyProvider(RemoteWrapping):
    """Wraps with the newest version of a key, and unwraps with the version that the box names.

    Source: Azure Key Vault REST API, "Keys": get, encrypt, decrypt, wrapKey, unwrapKey, sign, verify.
    """

    provider: ClassVar[int] = 4
    kind: ClassVar[str] = "azure-keyvault"

    def __init__(self, location: str, credential: TokenCredential | None = None, **options: Any) -> None:
        """`location` is `https://VAULT/keys/NAME`; `options` go to Azure's clients (a transport, say).

        `credential` is Azure's default chain where none is given.

        Raises:
            ConfigError: not such a location.
        """
        found = _LOCATION.fullmatch(location)
        if found is None:
            raise ConfigError(
                "a key in Azure is named azure-keyvault:https://VAULT.vault.azure.net/keys/NAME, without a version"
            )
        quieten("azure", "msal", "urllib3", "requests")
        self._vault, self._name = found["vault"], found["name"]
        self._credential = credential or DefaultAzureCredential()
        self._options = {
            "retry_total": 1,
            "retry_backoff_factor": 0.2,
            "connection_timeout": remote.CONNECT_S,
            "read_timeout": remote.READ_S,
            **options,
        }
        self._keys = KeyClient(self._vault, self._credential, **self._options)
        super().__init__(f"azure-keyvault:{self._vault}/keys/{self._name}")

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        key = self._keys.get_key(self._name)
        version, kind = str(key.properties.version), KeyType(key.key_type)
        if _VERSION.fullmatch(version) is None:
            raise Unavailable(remote.FAILED)
        if kind in (KeyType.rsa, KeyType.rsa_hsm):
            return self._wrapped_by_rsa(key, version, plaintext, aad)
        if kind in (KeyType.oct, KeyType.oct_hsm):
            return self._wrapped_by_aes(key, version, plaintext, aad)
        raise Unavailable(remote.DENIED)  # an elliptic curve's key cannot encrypt

    def _wrapped_by_rsa(self, key: KeyVaultKey, version: str, plaintext: bytes, aad: bytes) -> bytes:
        with self._cryptography(key) as client:
            encrypted = client.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, plaintext).encrypted_key
            box = _Box(_RSA, version, encrypted, b"")
            signature = client.sign(SignatureAlgorithm.ps256, box.digest(aad)).signature
        return box._replace(second=signature).pack()

    def _wrapped_by_aes(self, key: KeyVaultKey, version: str, plaintext: bytes, aad: bytes) -> bytes:
        with self._cryptography(key) as client:
            done = client.encrypt(EncryptionAlgorithm.a256_gcm, plaintext, additional_authenticated_data=aad)
        iv, tag = done.iv or b"", done.tag or b""
        if len(iv) != _IV_BYTES or len(tag) != _TAG_BYTES:
            raise Unavailable(remote.FAILED)
        return _Box(_AES, version, iv + tag, done.ciphertext).pack()

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        parts = _Box.parse(box)
        with self._cryptography(f"{self._vault}/keys/{self._name}/{parts.version}") as client:
            if parts.algorithm == _AES:
                opened = client.decrypt(
                    EncryptionAlgorithm.a256_gcm,
                    parts.second,
                    iv=parts.first[:_IV_BYTES],
                    authentication_tag=parts.first[_IV_BYTES:],
                    additional_authenticated_data=aad,
                )
                return opened.plaintext
            if not client.verify(SignatureAlgorithm.ps256, parts.digest(aad), parts.second).is_valid:
                raise Unreadable
            return client.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, parts.first).key

    def _cryptography(self, key: KeyVaultKey | str) -> CryptographyClient:
        return CryptographyClient(key, self._credential, **self._options)

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        if isinstance(error, ClientAuthenticationError):
            return Unavailable(remote.DENIED), ""
        if not isinstance(error, HttpResponseError):
            return Unavailable(remote.UNREACHABLE if isinstance(error, AzureError) else remote.FAILED), ""
        status, (code, inner) = error.status_code or 0, _codes(error)
        if status == 403:
            disabled = inner in ("KeyDisabled", "KeyNotYetValid", "KeyExpired")
            return Unavailable(remote.DISABLED if disabled else remote.DENIED), inner or code
        if status == 404:
            return Unavailable(remote.NO_KEY), code
        if status == 400 and operation == "unwrap":
            return Unreadable(), code
        return Unavailable(remote.UNREACHABLE if status >= 429 else remote.FAILED), code


def _codes(error: HttpResponseError) -> tuple[str, str]:
    """Azure's code of the error, and of the one within, where it says them."""
    said = error.error
    within = getattr(said, "innererror", None)
    inner = within.get("code") if isinstance(within, Mapping) else None
    return str(getattr(said, "code", None) or ""), str(inner or "")


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is `https://VAULT/keys/NAME`.

    Raises:
        ConfigError: see `AzureKeyProvider`.
    """
    del environ  # azure-identity reads its own variables and files
    return AzureKeyProvider(location)
