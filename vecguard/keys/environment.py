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
        if not environ.get(variable, "").strip():
            raise ConfigError(f"environment variable {variable} is not set")
        kek = _decoded(environ.get(variable, ""))
        if not isinstance(kek, Key):  # raised here and not where the text is a local variable
            raise ConfigError(f"environment variable {variable} {kek}")
        super().__init__(kek)


def open_provider(location: str, environ: Mapping[str, str]) -> KeyProvider:
    """Registry entry: `location` is the variable's name, VECGUARD_KEY when empty.

    Raises:
        ConfigError: see `EnvironmentKeyProvider`.
    """
    return EnvironmentKeyProvider(environ, location or DEFAULT_VARIABLE)


def _decoded(text: str) -> Key | str:
    """The key, or what is wrong with the text."""
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (ValueError, binascii.Error):
        return "is not base64"
    return Key(secret) if len(secret) == KEY_BYTES else f"must hold {KEY_BYTES} bytes, it holds {len(secret)}"
