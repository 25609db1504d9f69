"""A secret key that is hard to leak by accident, and the one way to derive further keys from it."""

from __future__ import annotations

import hmac
import secrets
import struct
from typing import Final, NoReturn, SupportsIndex

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from vecguard.errors import ConfigError, Unavailable
from vecguard.keys.encoding import length_prefixed

KEY_BYTES: Final = 32
_DOMAIN: Final = b"vecguard.hkdf.1"


class _Buffer(bytearray):
    """A key's bytes, for those who print what an object consists of."""

    def __repr__(self) -> str:
        return "…"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class Key:
    """32 secret bytes.

    A key cannot be printed, formatted, pickled, copied or hashed; it compares in constant time. Its buffer is zeroed by
    `close()` and when the object dies. What a cipher object or `derive_bytes` copied out of it is beyond its reach:
    zeroing shortens the time a key stays in memory, it is no defence against a reader of the process's memory.
    """

    __slots__ = ("__weakref__", "_closed", "_secret")

    def __init__(self, secret: bytes | bytearray | memoryview) -> None:
        """Copy `secret` (exactly 32 bytes).

        Raises:
            ConfigError: another length.
        """
        self._closed = True
        self._secret = _Buffer()
        self._secret = _Buffer(memoryview(secret))  # not _Buffer(secret): an int would make a key of zeros
        if len(self._secret) != KEY_BYTES:
            raise ConfigError(f"a key has {KEY_BYTES} bytes, this one has {len(self._secret)}")
        self._closed = False

    @classmethod
    def random(cls) -> Key:
        """A new key from the operating system's generator."""
        return cls(secrets.token_bytes(KEY_BYTES))

    def expose(self) -> bytes:
        """The secret bytes, for handing to a cipher, not for keeping.

        A copy and not a view: a cipher object that kept a view would go on with zeros once the key is closed.

        Raises:
            Unavailable: the key was closed.
        """
        if self._closed:
            raise Unavailable("the key was closed")
        return bytes(self._secret)

    def derive(self, purpose: str, *context: str) -> Key:
        """The subkey for `purpose` and `context`; see `derive_bytes`."""
        return Key(self.derive_bytes(KEY_BYTES, purpose, *context))

    def derive_bytes(self, n: int, purpose: str, *context: str) -> bytes:
        """`n` bytes by HKDF-SHA256 (RFC 5869), empty salt.

        info = length-prefixed("vecguard.hkdf.1", uint32 n, purpose, *context), so that outputs of different lengths,
        purposes or contexts are independent of each other.

        Raises:
            Unavailable: the key was closed.
        """
        texts = [text.encode() for text in (purpose, *context)]
        info = length_prefixed(_DOMAIN, struct.pack(">I", n), *texts)
        return HKDF(algorithm=SHA256(), length=n, salt=None, info=info).derive(self.expose())

    def close(self) -> None:
        """Zero the key; any later use raises `Unavailable`."""
        self._closed = True
        self._secret[:] = bytes(len(self._secret))

    def __del__(self) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        return hmac.compare_digest(self.expose(), other.expose())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Key(…)"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __copy__(self) -> NoReturn:
        raise TypeError("a key cannot be copied")

    def __deepcopy__(self, memo: dict[int, object]) -> NoReturn:
        raise TypeError("a key cannot be copied")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError("a key cannot be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a key cannot be pickled")
