"""The credential in a call's metadata, in each of the forms that the vendors' clients send it in.

Qdrant: `api-key: KEY`, or `authorization: Bearer TOKEN`. Milvus (pymilvus): `authorization: BASE64`, of a token or of
`user:password`, with no scheme before it. HTTP's own: `authorization: Basic BASE64` (RFC 7617).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from vecguard.errors import Unauthenticated

API_KEY: Final = "api-key"
AUTHORIZATION: Final = "authorization"
CREDENTIAL_HEADERS: Final = frozenset({API_KEY, AUTHORIZATION})

# A signed token with many claims takes 2 to 4 KiB.
_LONGEST: Final = 16 * 1024
_MALFORMED: Final = "the credential cannot be read: send `api-key: KEY`, `authorization: Bearer TOKEN` or Milvus' token"


@dataclass(frozen=True, slots=True)
class Secret:
    """What a caller sent: a key or token, or a password with its user. It is not shown when printed."""

    text: str = field(repr=False)
    user: str | None = None

    @property
    def is_jwt(self) -> bool:
        """Whether it has the form of a signed token (RFC 7515, 3.1): three parts, the first a JSON object."""
        return self.user is None and self.text.count(".") == 2 and self.text.startswith("ey")


def read_secret(metadata: Mapping[str, str], repeated: Collection[str]) -> Secret | None:
    """The credential in the metadata; None where there is none.

    Raises:
        Unauthenticated: there are several, or it cannot be read.
    """
    given = CREDENTIAL_HEADERS & metadata.keys()
    if not given:
        return None
    if len(given) > 1 or not given.isdisjoint(repeated):
        raise Unauthenticated("more than one credential was sent: send one")
    (name,) = given
    value = metadata[name].strip()
    if not value or len(value) > _LONGEST:
        raise Unauthenticated(_MALFORMED)
    return Secret(value) if name == API_KEY else _authorization(value)


def _authorization(value: str) -> Secret:
    scheme, separator, rest = value.partition(" ")
    if not separator:
        return _milvus(value)
    if scheme.lower() == "bearer":
        return Secret(rest.strip())
    if scheme.lower() == "basic":
        secret = _milvus(rest.strip())
        if secret.user is not None:
            return secret
    raise Unauthenticated(_MALFORMED)


def _milvus(value: str) -> Secret:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise Unauthenticated(_MALFORMED) from None
    user, colon, password = text.partition(":")
    return Secret(password, user) if colon else Secret(text)
