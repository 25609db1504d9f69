"""What a key provider is: whoever holds the key-encryption key (KEK) and wraps the data keys of collections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from vecguard.keys.key import Key


class KeyProvider(Protocol):
    """Wraps and unwraps data keys. The KEK itself never leaves the provider.

    Both calls may block for as long as the provider's deadline (seconds, see docs/keys.md), so they are made in a
    thread, never in the event loop. Both are safe from several threads.
    """

    @property
    def key_id(self) -> str:
        """Names the KEK, fit for logs and manifests; not secret."""

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """Encrypt `data_key`, bound to `context` (say, collection uuid and epoch).

        Raises:
            Unavailable: the provider cannot be reached now, or does not let us use the KEK.
        """

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """Give back what `wrap` took, if `wrapped` is whole, of this KEK, and `context` is the same.

        Raises:
            Unreadable: anything else.
            Unavailable: the provider cannot be reached now, or does not let us use the KEK.
        """


ProviderOpener = Callable[[str, Mapping[str, str]], KeyProvider]
"""`(location, environ) -> KeyProvider`: what a registry entry of `KEY_PROVIDERS` names. Raises ConfigError."""
