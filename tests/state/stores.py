"""Connections to a store for tests, with a key-encryption key that all of them share."""

from __future__ import annotations

import secrets
from pathlib import Path

from redis_server import RedisServer

from vecguard.keys.file import FileKeyProvider
from vecguard.keys.lease import LeasingProvider
from vecguard.state.connection import Connection
from vecguard.state.settings import StateSettings


def provider(folder: Path, name: str = "kek.key") -> LeasingProvider:
    """A key provider over a file that is made where it is missing."""
    file = folder / name
    if not file.exists():
        FileKeyProvider.create(str(file), {})
    return LeasingProvider(FileKeyProvider(str(file), {}))


def connection(server: RedisServer, held: LeasingProvider, **settings: object) -> Connection:
    """A connection as one process has it; with a prefix of its own unless one is given."""
    prefix = {"prefix": f"t{secrets.token_hex(6)}"}
    return Connection(StateSettings.model_validate({"url": server.url, "timeout_s": 10.0, **prefix, **settings}), held)
