"""The KEK in Google Cloud Key Management Service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar, Final

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys import remote
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping, quieten

try:
    from google.api_core import exceptions as refused
    from google.api_core.retry import Retry, if_exception_type
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import kms_v1
except ModuleNotFoundError:
    raise ConfigError("the key provider `gcp-kms` needs a client library: pip install 'vecguard[gcp]'") from None

_PART: Final = r"[A-Za-z0-9_.:-]{1,128}"
_NAME: Final = re.compile(rf"projects/{_PART}/locations/{_PART}/keyRings/{_PART}/cryptoKeys/{_PART}")
_RETRY: Final = Retry(if_exception_type(refused.ServiceUnavailable), initial=0.2, maximum=1.0, timeout=remote.CONNECT_S)
_DENIED: Final = (refused.PermissionDenied, refused.Unauthenticated, GoogleAuthError)
_AWAY: Final = (refused.ServerError, refused.RetryError, refused.TooManyRequests)


class GcpKmsKeyProvider(RemoteWrapping):
    """Encrypts with `Encrypt` of a symmetric key, the context as `additional_authenticated_data`.

    Source: Cloud KMS API, `google.cloud.kms.v1.KeyManagementService`. The ciphertext names the version of the key, so a
    rotation at Google needs nothing here.
    """

    provider: ClassVar[int] = 3
    kind: ClassVar[str] = "gcp-kms"

    def __init__(self, location: str, client: kms_v1.KeyManagementServiceClient | None = None) -> None:
        """`location` is the resource name of a key, without a version.

        `client` is made of the application default credentials where none is given.

        Raises:
            ConfigError: not such a name, or there are no credentials.
        """
        if _NAME.fullmatch(location) is None:
            raise ConfigError(
                "a key in Cloud KMS is named gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K, without a version"
            )
        quieten("google", "grpc", "urllib3")
        self._client = client or _client()
        self._name = location
        super().__init__(f"gcp-kms:{location}")

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        request = kms_v1.EncryptRequest(name=self._name, plaintext=plaintext, additional_authenticated_data=aad)
        return bytes(self._client.encrypt(request, timeout=remote.CONNECT_S, retry=_RETRY).ciphertext)

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        request = kms_v1.DecryptRequest(name=self._name, ciphertext=box, additional_authenticated_data=aad)
        return bytes(self._client.decrypt(request, timeout=remote.CONNECT_S, retry=_RETRY).plaintext)

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        code = str(getattr(getattr(error, "grpc_status_code", None), "name", ""))
        if operation == "unwrap" and isinstance(error, refused.InvalidArgument):
            return Unreadable(), code
        for types, text in (
            (_DENIED, remote.DENIED),
            (refused.NotFound, remote.NO_KEY),
            (refused.FailedPrecondition, remote.DISABLED),
            (_AWAY, remote.UNREACHABLE),
        ):
            if isinstance(error, types):
                return Unavailable(text), code
        return Unavailable(remote.FAILED), code


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is a key's resource name.

    Raises:
        ConfigError: see `GcpKmsKeyProvider`.
    """
    del environ  # google-auth reads its own variables and files
    return GcpKmsKeyProvider(location)


def _client() -> kms_v1.KeyManagementServiceClient:
    client = None
    with suppress(GoogleAuthError):  # its text and locals may hold what a credentials file holds
        client = kms_v1.KeyManagementServiceClient()
    if client is None:
        raise ConfigError("there are no usable Google credentials: see application default credentials")
    return client
