"""The KEK in AWS Key Management Service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Final

from vecguard.errors import ConfigError, Unavailable, Unreadable, VecGuardError
from vecguard.keys import remote
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping, quieten

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
except ModuleNotFoundError:
    raise ConfigError("the key provider `aws-kms` needs a client library: pip install 'vecguard[aws]'") from None

_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(?:key|alias)/[A-Za-z0-9/_-]+")
_ALGORITHM: Final = "SYMMETRIC_DEFAULT"
_NOT_OURS: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_DENIED: Final = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "ExpiredTokenException", "IncompleteSignature"),
        *("InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken", "OptInRequired"),
        *("UnrecognizedClientException", "InvalidGrantTokenException", "InvalidKeyUsageException"),
    }
)
_DISABLED: Final = frozenset({"DisabledException", "KMSInvalidStateException", "KeyUnavailableException"})
_NO_KEY: Final = frozenset({"NotFoundException"})
_AWAY: Final = frozenset({"DependencyTimeoutException", "KMSInternalException", "ThrottlingException"})


class AwsKmsKeyProvider(RemoteWrapping):
    """Encrypts with the operation `Encrypt` of a symmetric key, the context as `EncryptionContext`.

    Source: AWS KMS API Reference, `Encrypt` and `Decrypt`. AWS authenticates the encryption context, shows it in
    CloudTrail, and can demand it in key policies. The ciphertext names the key's material, so a rotation at AWS needs
    nothing here.
    """

    provider: ClassVar[int] = 2
    kind: ClassVar[str] = "aws-kms"

    def __init__(self, location: str) -> None:
        """`location` is the ARN of a key or alias. Credentials and endpoint come from AWS's standard chain.

        Raises:
            ConfigError: not such an ARN.
        """
        found = _ARN.fullmatch(location)
        if found is None:
            raise ConfigError("a key in AWS KMS is named aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID (or alias/NAME)")
        quieten("boto3", "botocore", "urllib3")
        settings = Config(
            connect_timeout=remote.CONNECT_S,
            read_timeout=remote.READ_S,
            retries={"mode": "standard", "total_max_attempts": 2},
        )
        session = boto3.session.Session()
        self._client = session.client("kms", region_name=found["region"], config=settings)
        self._arn = location
        super().__init__(f"aws-kms:{location}")

    def _encrypt(self, plaintext: bytes, aad: bytes) -> bytes:
        answer = self._client.encrypt(
            KeyId=self._arn,
            Plaintext=plaintext,
            EncryptionContext=_encryption_context(aad),
            EncryptionAlgorithm=_ALGORITHM,
        )
        return bytes(answer["CiphertextBlob"])

    def _decrypt(self, box: bytes, aad: bytes) -> bytes:
        answer = self._client.decrypt(
            KeyId=self._arn,
            CiphertextBlob=box,
            EncryptionContext=_encryption_context(aad),
            EncryptionAlgorithm=_ALGORITHM,
        )
        return bytes(answer["Plaintext"])

    def _meaning(self, error: Exception, operation: str) -> tuple[VecGuardError, str]:
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return Unavailable(remote.DENIED), ""
        if isinstance(error, BotoCoreError):
            return Unavailable(remote.UNREACHABLE), ""
        if not isinstance(error, ClientError):
            return Unavailable(remote.FAILED), ""
        code = str(error.response.get("Error", {}).get("Code", ""))
        if operation == "unwrap" and code in _NOT_OURS:
            return Unreadable(), code
        if code in _DENIED or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (401, 403):
            return Unavailable(remote.DENIED), code
        for codes, text in ((_DISABLED, remote.DISABLED), (_AWAY, remote.UNREACHABLE), (_NO_KEY, remote.NO_KEY)):
            if code in codes:
                return Unavailable(text), code
        return Unavailable(remote.FAILED), code


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is an ARN.

    Raises:
        ConfigError: see `AwsKmsKeyProvider`.
    """
    del environ  # boto3 reads its own variables and files
    return AwsKmsKeyProvider(location)


def _encryption_context(aad: bytes) -> dict[str, str]:
    """The associated data as AWS takes it: text. In hexadecimal a collection's uuid can be found in CloudTrail."""
    return {"vecguard": aad.hex()}
