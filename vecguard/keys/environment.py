"""The KEK in an environment variable, for platforms that inject secrets that way."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Final

from vecguard.errors import ConfigError
from vecguard.keys.key import KEY_BYTES, Key
from vecguard.keys.provider import KeyProvider
from vecguard.keys.wrapping import LocalWrapping

DEFAULT_VARIABLE: Final = "VECGUARD_KEY"


class EnvironmentKeyProvider(LocalWrapping):
    """Reads base64 (RFC 4648 §4, padded) of 32 random bytes, as `openssl rand -base64 32` prints."""

    def __init__(self, environ: Mapping[str, str], variable: str = DEFAULT_VARIABLE) -> None:
        """`environ` is handed in, because only the configuration reads the process's environment.

        Raises:
            ConfigError: not set, not base64, or not 32 bytes. The value is never part of the message.
        """
        text = environ.get(variable, "").strip()
        if not text:
            raise ConfigError(f"environment variable {variable} is not set")
        try:
            secret = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise ConfigError(f"environment variable {variable} is not base64") from None
        if len(secret) != KEY_BYTES:
            raise ConfigError(f"environment variable {variable} must hold {KEY_BYTES} bytes, it holds {len(secret)}")
        super().__init__(Key(secret))


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is the variable's name, VECGUARD_KEY when empty.

    Raises:
        ConfigError: see `EnvironmentKeyProvider`.
    """
    return EnvironmentKeyProvider(environ, location or DEFAULT_VARIABLE)
