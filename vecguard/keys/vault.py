"""The KEK in the Transit secrets engine of HashiCorp Vault or OpenBao."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys import remote
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping, quieten

try:
    import hvac
    import requests
    from hvac import exceptions as refused
except ModuleNotFoundError:
    raise ConfigError("the key provider `vault` needs a client library: pip install 'vecguard[vault]'") from None

_PATH: Final = re.compile(r"/v1/(?P<mount>[\w.-]+(?:/[\w.-]+)*)/keys/(?P<name>[\w.-]+)")
_CIPHERTEXT: Final = re.compile(rb"vault:v[0-9]+:[A-Za-z0-9+/=]+")
_NOT_AUTHENTIC: Final = ("message authentication failed", "invalid ciphertext", "unable to decrypt", "malformed")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class VaultKeyProvider(RemoteWrapping):
    """Encrypts with `POST transit/encrypt/NAME`, the context as `associated_data`.

    Source: Vault's API documentation, "Transit secrets engine". The key must be of an AEAD type (`aes256-gcm96`, the
    default, `aes128-gcm96` or `chacha20-poly1305`); others refuse associated data. Vault's ciphertext names the version
    of the key, so a rotation at Vault needs nothing here.
    """

    provider: ClassVar[int] = 1
    kind: ClassVar[str] = "vault"

    def __init__(self, location: str, environ: Mapping[str, str]) -> None:
        """`location` is `https://HOST[:PORT]/v1/MOUNT/keys/NAME`.

        Token, namespace and TLS files come from the variables that Vault's own tools read; the token may be in
        `~/.vault-token`. All are read anew for each request, so that an agent can renew them.

        Raises:
            ConfigError: not such a location, or in clear over a network.
        """
        self._url, self._mount, self._name = _parse(location)
        self._environ = environ
        quieten("hvac", "urllib3", "requests")
        super().__init__(f"vault:{self._mount}/{self._name}")

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        sent = {"plaintext": _text(plaintext), "associated_data": _text(aad)}
        ciphertext = str(self._request("encrypt_data", sent)["ciphertext"]).encode()
        if _CIPHERTEXT.fullmatch(ciphertext) is None:
            raise Unavailable(remote.FAILED)
        return ciphertext

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        if _CIPHERTEXT.fullmatch(box) is None:
            raise Unreadable
        answer = self._request("decrypt_data", {"ciphertext": box.decode(), "associated_data": _text(aad)})
        return base64.b64decode(answer["plaintext"], validate=True)

    def _request(self, operation: str, sent: dict[str, str]) -> Mapping[str, Any]:
        get = self._environ.get
        certificate, key = get("VAULT_CLIENT_CERT"), get("VAULT_CLIENT_KEY")
        limits: Any = (remote.CONNECT_S, remote.READ_S)  # requests takes both; the stubs know of one
        client = hvac.Client(
            url=self._url,
            token=get("VAULT_TOKEN") or None,  # None: hvac reads ~/.vault-token
            namespace=get("VAULT_NAMESPACE") or None,
            verify=get("VAULT_CACERT") or get("VAULT_CAPATH") or True,
            cert=(certificate, key) if certificate and key else None,
            timeout=limits,
            allow_redirects=False,  # the token goes to nobody but the host that the settings name
        )
        try:
            call = getattr(client.secrets.transit, operation)
            answer: Mapping[str, Any] = call(name=self._name, mount_point=self._mount, **sent)["data"]
            return answer
        finally:
            client.adapter.close()

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        if isinstance(error, refused.Forbidden | refused.Unauthorized):
            return Unavailable(remote.DENIED), ""
        if isinstance(error, refused.InvalidPath):
            return Unavailable(remote.NO_KEY), ""
        if isinstance(error, refused.InvalidRequest):
            return self._meaning_of_invalid(str(error.errors).lower(), operation), ""
        if isinstance(error, refused.VaultError | requests.RequestException):
            return Unavailable(remote.UNREACHABLE), ""
        return Unavailable(remote.FAILED), ""

    @staticmethod
    def _meaning_of_invalid(said: str, operation: str) -> VecGuardError:
        if operation == "unwrap" and any(text in said for text in _NOT_AUTHENTIC):
            return Unreadable()
        if "key not found" in said:
            return Unavailable(remote.NO_KEY)
        return Unavailable(remote.DISABLED if "disallowed by policy" in said else remote.FAILED)


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is `https://HOST[:PORT]/v1/MOUNT/keys/NAME`.

    Raises:
        ConfigError: see `VaultKeyProvider`.
    """
    return VaultKeyProvider(location, environ)


def _parse(location: str) -> tuple[str, str, str]:
    """URL of the server, mount, and name of the key."""
    try:
        parts = urlsplit(location)
        found = _PATH.fullmatch(parts.path)
        plain = not parts.query and not parts.fragment and parts.username is None and parts.password is None
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        found = None
    if found is None or not plain or not port_is_good or not parts.hostname or parts.scheme not in ("https", "http"):
        # Not repeated: it may hold a password.
        raise ConfigError("a key in Vault is named vault:https://HOST[:PORT]/v1/MOUNT/keys/NAME")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigError("Vault is spoken to over TLS (https), except on this machine itself")
    return f"{parts.scheme}://{parts.netloc}", found["mount"], found["name"]


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
