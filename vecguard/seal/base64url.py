"""Base64url without padding (RFC 4648 §5), strict: exactly one text stands for given bytes."""

from __future__ import annotations

import binascii
from typing import Final

from vecguard.errors import Unreadable

_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# Only the URL alphabet: what stands for the other alphabet's digits, or for padding, becomes a foreign character.
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
# The last of 2 or 3 left-over digits has 4 or 2 spare bits, which must be zero.
_LAST_DIGITS: Final = ((), (), tuple("AQgw"), tuple("AEIMQUYcgkosw048"))
_PADDING: Final = (b"", b"", b"==", b"=")


def encode(data: bytes) -> str:
    """The digits."""
    return binascii.b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode()


def decode(digits: str) -> bytes:
    """What `encode` took.

    Raises:
        Unreadable: not what `encode` writes for any bytes.
    """
    tail = len(digits) % 4
    if tail and not digits.endswith(_LAST_DIGITS[tail]):
        raise Unreadable
    try:
        return binascii.a2b_base64(digits.encode("ascii").translate(_FROM_URL) + _PADDING[tail], strict_mode=True)
    except ValueError:
        raise Unreadable from None
